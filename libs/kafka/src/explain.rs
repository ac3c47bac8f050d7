//! Turns librdkafka's messages about failed connections into messages that say what to check.

/// Returns the message of a log line if the line reports a failed connection. Log lines are the only report of a broker
/// that hangs up, as one does that expects TLS. Each line begins with the name of a thread, which is cut off.
#[must_use]
pub fn failure<'m>(facility: &str, message: &'m str) -> Option<&'m str> {
    message.split_once("]: ").map(|(_, words)| words).filter(|_| facility == "FAIL")
}

/// Returns librdkafka's message without its varying parts, followed by what to check.
#[must_use]
pub fn explain(words: &str) -> String {
    // librdkafka appends how long the attempt took and the state it reached.
    let (words, state) = words.rsplit_once(" (after ").unwrap_or((words, ""));
    let advice = if words.contains(": SASL ") {
        "; check the user name, the password and the mechanism"
    } else if words.contains("SSL handshake failed") || words.contains("SSL routines") {
        "; check that this listener of Kafka speaks TLS, that its certificate names this host and is signed by an authority \
         that the config trusts, and that Kafka trusts the client's certificate, where it asks for one"
    } else if words.contains("security.protocol") || state.contains("in state APIVERSION_QUERY") {
        // Kafka hung up on the first request.
        "; check that the config has TLS and SASL where this listener of Kafka has them"
    } else if words.contains("Connection refused") {
        "; check the address and the port, and that Kafka runs there"
    } else if words.contains("Failed to resolve") {
        "; check the name of the host"
    } else {
        ""
    };
    format!("{words}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_connection_that_failed_is_told_from_the_others() {
        let line = "[thrd:a:1/1]: a:1/1: Disconnected (after 3ms in state UP)";
        assert_eq!(failure("FAIL", line), Some("a:1/1: Disconnected (after 3ms in state UP)"));
        assert_eq!(failure("REQTMOUT", "[thrd:a:1/1]: a:1/1: Timed out 1 in-flight"), None);
        assert_eq!(failure("FAIL", "nobody's"), None);
    }

    /// The messages are copied from librdkafka; `processor/tests/kafka/security.rs` checks the current ones.
    #[test]
    fn a_refusal_says_what_to_check_and_is_the_same_each_time() {
        let refused =
            |took| explain(&format!("sasl_ssl://a:1/1: SASL authentication error: no (after {took}ms in state X)"));
        assert!(
            refused(3).ends_with("error: no; check the user name, the password and the mechanism"),
            "{}",
            refused(3)
        );
        assert_eq!(refused(3), refused(7));

        let alert = "ssl://a:1/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate";
        assert!(explain(alert).contains("that Kafka trusts the client's certificate"));
        let hint =
            "a:1/1: Disconnected: verify that security.protocol is correctly configured, broker might require SASL";
        assert!(explain(hint).ends_with("where this listener of Kafka has them"));
        let hung_up = "a:1/1: Disconnected: connection closed by peer (after 3ms in state APIVERSION_QUERY)";
        assert!(explain(hung_up).ends_with("where this listener of Kafka has them"));
    }
}

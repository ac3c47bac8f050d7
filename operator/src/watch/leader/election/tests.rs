use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn date(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn candidate(identity: &str) -> Election {
    Election::new("lease".to_owned(), identity.to_owned())
}

/// What the API server makes of a write: it takes one that was made from what it holds.
fn write(server: &mut Option<Lease>, mut lease: Lease) -> Result<Lease, ()> {
    let version = |lease: &Lease| lease.metadata.resource_version.clone();
    if server.as_ref().and_then(version) != version(&lease) {
        return Err(());
    }
    let next = version(&lease).map_or(1, |version| version.parse::<u32>().unwrap() + 1);
    lease.metadata.resource_version = Some(next.to_string());
    *server = Some(lease.clone());
    Ok(lease)
}

fn attempt(election: &mut Election, server: &mut Option<Lease>, now: Instant) -> bool {
    match election.turn(server.clone(), now, date(0)) {
        Turn::Wait { .. } => false,
        Turn::Write(lease) => write(server, *lease).map(|written| election.holds(written, now)).is_ok(),
    }
}

#[test]
fn an_unrenewed_lease_is_taken_after_a_fully_observed_term() {
    let (mut a, mut b, mut server, start) = (candidate("a"), candidate("b"), None, Instant::now());
    assert!(attempt(&mut a, &mut server, start));
    assert_eq!(server.as_ref().unwrap().spec.as_ref().unwrap().lease_transitions, Some(1));

    // Ten hours later by any clock: `b` has seen it for the first time.
    let first_seen = start + SECOND * 36_000;
    assert!(!attempt(&mut b, &mut server, first_seen));
    assert!(!attempt(&mut b, &mut server, first_seen + SECOND * 14));

    // A renewal begins the term anew.
    write(&mut server, a.renewal(date(7))).unwrap();
    assert!(!attempt(&mut b, &mut server, first_seen + SECOND * 15));
    assert!(!attempt(&mut b, &mut server, first_seen + SECOND * 29));
    assert!(attempt(&mut b, &mut server, first_seen + SECOND * 30));

    let spec = server.clone().unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("b"));
    assert_eq!(spec.lease_transitions, Some(2));
    assert_eq!(a.still_holds(server), Err(Lost::Taken("b".to_owned())));
}

#[test]
fn the_term_is_the_one_that_the_holder_states() {
    let (mut b, start) = (candidate("b"), Instant::now());
    let stated = |seconds| {
        let spec = LeaseSpec {
            holder_identity: Some("a".to_owned()),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        Some(Lease { spec: Some(spec), ..Lease::default() })
    };

    for (seconds, term) in [(Some(60), 60), (None, 15), (Some(-1), 15)] {
        let waits = |election: &mut Election, after| matches!(election.turn(stated(seconds), start + after, date(0)), Turn::Wait { holder } if holder == "a");
        assert!(waits(&mut b, Duration::ZERO) && waits(&mut b, SECOND * term - SECOND));
        assert!(!waits(&mut b, SECOND * term), "{seconds:?}");
        b = candidate("b");
    }
}

#[test]
fn a_lease_that_was_released_is_free_at_once() {
    let (mut a, mut b, mut server, start) = (candidate("a"), candidate("b"), None, Instant::now());
    assert!(attempt(&mut a, &mut server, start));
    assert!(!attempt(&mut b, &mut server, start));
    assert_eq!(b.release(server.clone()), None, "only the holder releases");
    assert_eq!(b.release(None), None);
    let released = a.release(server.clone()).unwrap();
    write(&mut server, released).unwrap();
    assert!(attempt(&mut b, &mut server, start));
}

#[test]
fn of_two_that_take_it_at_once_one_fails() {
    let (mut a, mut b, mut server, start) = (candidate("a"), candidate("b"), None, Instant::now());
    let Turn::Write(by_a) = a.turn(server.clone(), start, date(0)) else { panic!("it is free") };
    let Turn::Write(by_b) = b.turn(server.clone(), start, date(0)) else { panic!("it is free") };
    assert!(write(&mut server, *by_a).is_ok());
    assert!(write(&mut server, *by_b).is_err());

    // Also when it has run out.
    let late = start + SECOND * 100;
    let (mut c, mut d) = (candidate("c"), candidate("d"));
    c.turn(server.clone(), start, date(0));
    d.turn(server.clone(), start, date(0));
    let Turn::Write(by_c) = c.turn(server.clone(), late, date(0)) else { panic!("it is free") };
    let Turn::Write(by_d) = d.turn(server.clone(), late, date(0)) else { panic!("it is free") };
    assert!(write(&mut server, *by_c).is_ok());
    assert!(write(&mut server, *by_d).is_err());
}

#[test]
fn a_holder_knows_its_lease_whoever_wrote_beside_it() {
    let (mut a, mut server, start) = (candidate("a"), None, Instant::now());
    assert!(attempt(&mut a, &mut server, start));
    // Somebody labels it, or the reply to a renewal was lost.
    let labelled = server.clone().unwrap();
    write(&mut server, labelled).unwrap();
    assert!(write(&mut server, a.renewal(date(1))).is_err());
    assert_eq!(a.still_holds(server.clone()), Ok(()));
    assert!(write(&mut server, a.renewal(date(2))).is_ok());
    assert_eq!(a.still_holds(None), Err(Lost::Deleted));
}

/// The heart of it: whatever the clocks show, a holder has stopped before its successor can start.
#[test]
fn a_holder_stops_before_another_starts() {
    let (mut a, mut b, mut server, start) = (candidate("a"), candidate("b"), None, Instant::now());
    assert!(attempt(&mut a, &mut server, start));

    // `b` reads the write no sooner than `a` set about it.
    let mut started = None;
    for tenths in 0..400 {
        let now = start + SECOND / 10 * tenths;
        if attempt(&mut b, &mut server, now) {
            started = Some(now);
            break;
        }
    }

    let stopped = a.deadline().unwrap();
    assert_eq!(stopped, start + RENEW_DEADLINE);
    assert!(started.unwrap() >= stopped + SECOND * 5);
}

//! Users of the API server, and their rights.

use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::{process::Folder, unique};

use super::World;

/// A user of the API server with only the rights that are bound to it.
pub struct User {
    pub kubeconfig: PathBuf,
    /// Its name in a binding.
    subject: Value,
    _folder: Folder,
}

impl World {
    /// A user without rights.
    pub fn user(&self) -> User {
        let name = unique("user");
        self.kubectl(&["create", "serviceaccount", &name, "-n", &self.namespace], "").unwrap();
        self.account(&self.namespace, &name)
    }

    /// The user of a ServiceAccount.
    pub fn account(&self, namespace: &str, name: &str) -> User {
        let token = self.kubectl(&["create", "token", name, "-n", namespace], "").unwrap();
        let folder = Folder::new("user").unwrap();
        let admin = std::fs::read_to_string(self.server.kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_yaml::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"]["token"] = json!(token.trim());
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
        User { kubeconfig: path, subject, _folder: folder }
    }

    /// Grants these rules to a user in this namespace. Returns the binding's name.
    pub fn allow(&self, user: &User, rules: &[Value]) -> String {
        let name = unique("role");
        let metadata = json!({"name": name});
        let version = "rbac.authorization.k8s.io/v1";
        let role = json!({"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules});
        let binding = json!({
            "apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "subjects": [user.subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        });
        self.apply(&format!("{role}\n---\n{binding}")).unwrap();
        name
    }
}

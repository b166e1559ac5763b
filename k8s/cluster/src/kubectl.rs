//! kubectl and helm, as an administrator would use them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sim_lab::process::command_in;

use crate::ClusterError;

/// The namespace of all that belongs to Takt.
pub(crate) const NAMESPACE: &str = "takt";
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The tools, with a kubeconfig.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    programs: PathBuf,
    /// The network that it runs in; none is this one.
    namespace: Option<PathBuf>,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(programs: &Path, namespace: Option<&Path>, kubeconfig: &Path) -> Self {
        let (programs, namespace) = (programs.to_owned(), namespace.map(Path::to_owned));
        Self { programs, namespace, kubeconfig: kubeconfig.to_owned() }
    }

    /// kubectl with these arguments; gives its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        self.tool("kubectl", arguments, "")
    }

    /// Applies objects, one after the other.
    pub(crate) fn apply(&self, objects: &[Value]) -> Result<(), ClusterError> {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.tool("kubectl", &["apply", "--server-side", "-f", "-"], &list.to_string()).map(drop)
    }

    /// Applies a manifest.
    pub(crate) fn apply_text(&self, yaml: &str) -> Result<(), ClusterError> {
        self.tool("kubectl", &["apply", "-f", "-"], yaml).map(drop)
    }

    /// kubectl with these arguments and JSON as output.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value, ClusterError> {
        let text = self.run(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).map_err(|error| ClusterError::Tool {
            command: format!("kubectl {}", arguments.join(" ")),
            why: error.to_string(),
        })
    }

    /// The objects of Takt's namespace of a kind.
    pub(crate) fn objects(&self, kind: &str) -> Result<Vec<Value>, ClusterError> {
        let list = self.json(&["get", kind, "-n", NAMESPACE])?;
        Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// helm with these arguments.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        self.tool("helm", arguments, "")
    }

    /// What a program in a pod prints, whatever its exit status.
    pub(crate) fn exec(&self, pod: &str, container: &str, program: &[&str]) -> Result<String, ClusterError> {
        let mut kubectl: Command = command_in(self.namespace.as_deref(), &self.programs.join("kubectl"));
        let output = kubectl
            .args(["exec", "-n", NAMESPACE, pod, "-c", container, "--"])
            .args(program)
            .env("KUBECONFIG", &self.kubeconfig)
            .output();
        let failed = |why: String| ClusterError::Tool { command: format!("kubectl exec {pod}"), why };
        let output = output.map_err(|error| failed(error.to_string()))?;
        if output.stdout.is_empty() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn tool(&self, name: &str, arguments: &[&str], input: &str) -> Result<String, ClusterError> {
        let command = || format!("{name} {}", arguments.join(" "));
        let failed = |why: String| ClusterError::Tool { command: command(), why };
        let mut tool: Command = command_in(self.namespace.as_deref(), &self.programs.join(name));
        let mut child = tool
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(|error| failed(error.to_string()))?;
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, ClusterError>,
) -> Result<T, ClusterError> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(ClusterError::late(what, limit));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

//! etcd, API server, controllers and scheduler, on a host of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use sim_lab::process::{EndBy, Process, command_in};

use crate::ClusterError;
use crate::kubectl::{Kubectl, until};
use crate::network::{Edge, PLANE, SERVICES};

/// The port of the API server, for nodes and pods alike: that of the first service.
const PORT: u16 = 443;
/// Who may do everything.
const ADMINISTRATOR: &str = "takt-cluster-administrator";
/// Far more than it takes, 2 to 4 s, on a machine that does other things.
const READY_WITHIN: Duration = Duration::from_secs(120);
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The control plane.
pub(crate) struct ControlPlane {
    // Ended in this order.
    scheduler: Process,
    manager: Process,
    api_server: Option<Process>,
    etcd: Process,
    folder: PathBuf,
    programs: PathBuf,
    namespace: PathBuf,
}

impl ControlPlane {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(folder: &Path, programs: &Path, namespace: &Path) -> Result<Self, ClusterError> {
        fs::create_dir_all(folder).map_err(ClusterError::file(folder))?;
        write_identities(folder)?;
        let run = |name: &str, arguments: &[String]| start(programs, namespace, folder, name, arguments);
        let mut etcd = run("etcd", &etcd_arguments(folder))?;
        let mut api_server = run("kube-apiserver", &api_server_arguments(folder))?;
        let certificate = folder.join("certificates/apiserver.crt");
        kubeconfig(folder, "administrator", ADMINISTRATOR, &certificate)?;
        for edge in Edge::BOTH {
            kubeconfig(folder, edge.name(), &node_token(edge), &certificate)?;
        }
        let kubectl = Kubectl::new(programs, namespace, &folder.join("administrator.kubeconfig"));
        // The others want its certificate, which it makes itself.
        wait_until_ready(&kubectl, &mut [&mut etcd, &mut api_server])?;
        let file = |name: &str| folder.join(name).display().to_string();
        let common =
            [format!("--kubeconfig={}", file("administrator.kubeconfig")), "--leader-elect=false".to_owned()];
        let mut of_manager = common.to_vec();
        of_manager.push(format!("--root-ca-file={}", certificate.display()));
        of_manager.push(format!("--service-account-private-key-file={}", file("service-accounts.pem")));
        Ok(Self {
            manager: run("kube-controller-manager", &of_manager)?,
            scheduler: run("kube-scheduler", &common)?,
            etcd,
            api_server: Some(api_server),
            folder: folder.to_owned(),
            programs: programs.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// As the administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.programs, &self.namespace, &self.folder.join("administrator.kubeconfig"))
    }

    /// The kubeconfig of a node.
    pub(crate) fn kubeconfig_of(&self, edge: Edge) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", edge.name()))
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("administrator.kubeconfig")
    }

    /// Kills the API server.
    pub(crate) fn kill_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server again, with its store as it was left.
    pub(crate) fn start_api_server(&mut self) -> Result<(), ClusterError> {
        let arguments = api_server_arguments(&self.folder);
        let mut api_server =
            start(&self.programs, &self.namespace, &self.folder, "kube-apiserver", &arguments)?;
        wait_until_ready(&self.kubectl(), &mut [&mut self.etcd, &mut api_server])?;
        self.api_server = Some(api_server);
        Ok(())
    }

    /// An error if a part of it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), ClusterError> {
        self.etcd.check()?;
        if let Some(api_server) = &mut self.api_server {
            api_server.check()?;
        }
        self.manager.check()?;
        Ok(self.scheduler.check()?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.scheduler.end(ENDS_WITHIN);
        let _ = self.manager.end(ENDS_WITHIN);
        self.api_server = None;
        let _ = self.etcd.end(ENDS_WITHIN);
    }
}

fn wait_until_ready(kubectl: &Kubectl, processes: &mut [&mut Process]) -> Result<(), ClusterError> {
    until("the API server", READY_WITHIN, || {
        processes.iter_mut().try_for_each(|process| process.check())?;
        Ok(kubectl.run(&["get", "--raw=/readyz"]).ok().map(drop))
    })
}

fn start(
    programs: &Path,
    namespace: &Path,
    folder: &Path,
    name: &str,
    arguments: &[String],
) -> Result<Process, ClusterError> {
    let mut command = command_in(Some(namespace), &programs.join(name));
    command.args(arguments).current_dir(folder);
    Ok(Process::start_command(name, command, EndBy::Signal, &folder.join(format!("{name}.log")))?)
}

fn etcd_arguments(folder: &Path) -> Vec<String> {
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    vec![
        format!("--data-dir={}", folder.join("store").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // What a trial writes is gone with it.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_server_arguments(folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--cert-dir={}", file("certificates")),
        format!("--secure-port={PORT}"),
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={PLANE}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--service-account-issuer=https://takt.test".to_owned(),
        format!("--service-account-key-file={}", file("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", file("service-accounts.pem")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ]
}

fn node_token(edge: Edge) -> String {
    format!("takt-cluster-{}", edge.name())
}

/// What stands before the point of a public key on the curve P-256 in its SPKI (RFC 5480).
const SPKI_OF_P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

fn write_identities(folder: &Path) -> Result<(), ClusterError> {
    let mut tokens = format!("{ADMINISTRATOR},administrator,1,system:masters\n");
    for (edge, number) in Edge::BOTH.into_iter().zip(2..) {
        let name = edge.name();
        tokens.push_str(&format!("{},system:node:{name},{number},system:nodes\n", node_token(edge)));
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(ClusterError::file(&path))
    };
    write("tokens.csv", &tokens)?;
    let unusable = |_| ClusterError::Machine { why: "no random numbers for a key".to_owned() };
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(unusable)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random)
        .map_err(|error| ClusterError::Machine { why: format!("a fresh key: {error}") })?;
    let public = [SPKI_OF_P256, pair.public_key().as_ref()].concat();
    write("service-accounts.pem", &pem::encode(&pem::Pem::new("PRIVATE KEY", private.as_ref())))?;
    write("service-accounts.pub", &pem::encode(&pem::Pem::new("PUBLIC KEY", public)))
}

fn kubeconfig(folder: &Path, name: &str, token: &str, certificate: &Path) -> Result<(), ClusterError> {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: trial\n\
         clusters: [{{ name: trial, cluster: {{ server: 'https://{PLANE}:{PORT}', certificate-authority: '{}' }} }}]\n\
         users: [{{ name: trial, user: {{ token: {token} }} }}]\n\
         contexts: [{{ name: trial, context: {{ cluster: trial, user: trial }} }}]\n",
        certificate.display(),
    );
    let path = folder.join(format!("{name}.kubeconfig"));
    fs::write(&path, text).map_err(ClusterError::file(&path))
}

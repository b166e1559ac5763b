//! etcd, API server, controllers and scheduler, on a host of their own.

use std::fs;
use std::net::Ipv4Addr;
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
    scheduler: Option<Process>,
    manager: Option<Process>,
    api_server: Option<Process>,
    etcd: Process,
    folder: PathBuf,
    programs: PathBuf,
    place: Place,
}

/// Where it listens.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// A host of its own; none is this machine.
    namespace: Option<PathBuf>,
    address: Ipv4Addr,
    port: u16,
    /// etcd's ports, for clients and peers.
    etcd: [u16; 2],
}

impl Place {
    /// A host of its own, with the port that nodes expect.
    pub(crate) fn host(namespace: &Path) -> Self {
        Self { namespace: Some(namespace.to_owned()), address: PLANE, port: PORT, etcd: [2379, 2380] }
    }

    /// This machine's loopback interface, with ports that are free.
    pub(crate) fn here(ports: [u16; 3]) -> Self {
        let [port, etcd, peers] = ports;
        Self { namespace: None, address: Ipv4Addr::LOCALHOST, port, etcd: [etcd, peers] }
    }
}

impl ControlPlane {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(folder: &Path, programs: &Path, place: Place) -> Result<Self, ClusterError> {
        let mut plane = Self::api_only(folder, programs, place)?;
        let certificate = folder.join("certificates/apiserver.crt");
        for edge in Edge::BOTH {
            kubeconfig(folder, &plane.place, edge.name(), &node_token(edge), &certificate)?;
        }
        let file = |name: &str| folder.join(name).display().to_string();
        let common =
            [format!("--kubeconfig={}", file("administrator.kubeconfig")), "--leader-elect=false".to_owned()];
        let mut of_manager = common.to_vec();
        of_manager.push(format!("--root-ca-file={}", certificate.display()));
        of_manager.push(format!("--service-account-private-key-file={}", file("service-accounts.pem")));
        let run = |name: &str, arguments: &[String]| start(programs, &plane.place, folder, name, arguments);
        let (manager, scheduler) =
            (run("kube-controller-manager", &of_manager)?, run("kube-scheduler", &common)?);
        (plane.manager, plane.scheduler) = (Some(manager), Some(scheduler));
        Ok(plane)
    }

    /// etcd and API server alone.
    pub(crate) fn api_only(folder: &Path, programs: &Path, place: Place) -> Result<Self, ClusterError> {
        fs::create_dir_all(folder).map_err(ClusterError::file(folder))?;
        write_identities(folder)?;
        let run = |name: &str, arguments: &[String]| start(programs, &place, folder, name, arguments);
        let mut etcd = run("etcd", &etcd_arguments(folder, &place))?;
        let mut api_server = run("kube-apiserver", &api_server_arguments(folder, &place))?;
        let certificate = folder.join("certificates/apiserver.crt");
        kubeconfig(folder, &place, "administrator", ADMINISTRATOR, &certificate)?;
        let administrator = folder.join("administrator.kubeconfig");
        let kubectl = Kubectl::new(programs, place.namespace.as_deref(), &administrator);
        // The others want its certificate, which it makes itself.
        wait_until_ready(&kubectl, &mut [&mut etcd, &mut api_server])?;
        Ok(Self {
            manager: None,
            scheduler: None,
            etcd,
            api_server: Some(api_server),
            folder: folder.to_owned(),
            programs: programs.to_owned(),
            place,
        })
    }

    /// As the administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(
            &self.programs,
            self.place.namespace.as_deref(),
            &self.folder.join("administrator.kubeconfig"),
        )
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
        let arguments = api_server_arguments(&self.folder, &self.place);
        let mut api_server = start(&self.programs, &self.place, &self.folder, "kube-apiserver", &arguments)?;
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
        let others = [&mut self.manager, &mut self.scheduler];
        Ok(others.into_iter().flatten().try_for_each(Process::check)?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for process in [&mut self.scheduler, &mut self.manager].into_iter().flatten() {
            let _ = process.end(ENDS_WITHIN);
        }
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
    place: &Place,
    folder: &Path,
    name: &str,
    arguments: &[String],
) -> Result<Process, ClusterError> {
    let mut command = command_in(place.namespace.as_deref(), &programs.join(name));
    command.args(arguments).current_dir(folder);
    Ok(Process::start_command(name, command, EndBy::Signal, &folder.join(format!("{name}.log")))?)
}

fn etcd_arguments(folder: &Path, place: &Place) -> Vec<String> {
    let [client, peer] = place.etcd.map(|port| format!("http://127.0.0.1:{port}"));
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

fn api_server_arguments(folder: &Path, place: &Place) -> Vec<String> {
    let Place { namespace, address, port, etcd: [etcd, _] } = place;
    let bind = if namespace.is_some() { Ipv4Addr::UNSPECIFIED } else { *address };
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--cert-dir={}", file("certificates")),
        format!("--secure-port={port}"),
        format!("--bind-address={bind}"),
        format!("--advertise-address={address}"),
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

fn kubeconfig(
    folder: &Path,
    place: &Place,
    name: &str,
    token: &str,
    certificate: &Path,
) -> Result<(), ClusterError> {
    let Place { address, port, .. } = place;
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: trial\n\
         clusters: [{{ name: trial, cluster: {{ server: 'https://{address}:{port}', certificate-authority: '{}' }} }}]\n\
         users: [{{ name: trial, user: {{ token: {token} }} }}]\n\
         contexts: [{{ name: trial, context: {{ cluster: trial, user: trial }} }}]\n",
        certificate.display(),
    );
    let path = folder.join(format!("{name}.kubeconfig"));
    fs::write(&path, text).map_err(ClusterError::file(&path))
}

//! A real etcd and a real API server on the loopback interface, shared by the tests that run at a time.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use tempfile::TempDir;

/// The folder of the programs. Without it the tests are ignored.
const PROGRAMS: &str = match option_env!("TAKT_API_SERVER") {
    Some(folder) => folder,
    None => "",
};
/// What may do everything.
const TOKEN: &str = "takt-test-administrator";
/// Far more than it takes, 2 to 4 s, on a machine that does other things.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// A running server. Ends, and leaves nothing behind, when the last test has let go of it.
pub(crate) struct Server {
    // In the order of their ends: the API server before its store.
    api_server: Process,
    etcd: Process,
    folder: TempDir,
    port: u16,
    etcd_port: u16,
}

/// A process that does not outlive its owner.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(folder: &Path, name: &str, arguments: &[String]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let child = Command::new(Path::new(PROGRAMS).join(name))
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, log }
    }

    /// Fails with the end of the log if the process has ended.
    fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(20).collect();
            panic!("{} ended, {status}: {end:#?}", self.log.display());
        }
    }
}

impl Server {
    /// The server that runs, or a new one.
    pub(crate) fn shared() -> Arc<Self> {
        // A test that failed while it started one leaves nothing half done here.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server of one's own.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [client_port, peer_port, port] = free_ports();
        let etcd =
            Process::start(folder.path(), "etcd", &etcd_arguments(folder.path(), client_port, peer_port));
        write_identities(folder.path());
        Self::write_kubeconfig(folder.path(), port);
        let arguments = api_server_arguments(folder.path(), client_port, port);
        let api_server = Process::start(folder.path(), "kube-apiserver", &arguments);
        let mut server = Self { api_server, etcd, folder, port, etcd_port: client_port };
        server.wait_until_ready();
        server
    }

    /// Kills the API server, waits, and starts it again, with its store as it was left.
    pub(crate) fn without_api_server(mut self, pause: Duration) -> Self {
        self.kill_api_server();
        std::thread::sleep(pause);
        self.with_api_server()
    }

    /// Kills the API server.
    pub(crate) fn kill_api_server(&mut self) {
        let _ = self.api_server.child.kill();
        let _ = self.api_server.child.wait();
    }

    /// Starts the API server again, with its store as it was left.
    pub(crate) fn with_api_server(mut self) -> Self {
        let arguments = api_server_arguments(self.folder.path(), self.etcd_port, self.port);
        self.api_server = Process::start(self.folder.path(), "kube-apiserver", &arguments);
        self.wait_until_ready();
        self
    }

    fn wait_until_ready(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let end = Instant::now() + STARTS_WITHIN;
        loop {
            self.etcd.assert_runs();
            self.api_server.assert_runs();
            let is_ready = runtime.block_on(async {
                let request = http::Request::get("/readyz").body(kube::client::Body::empty()).ok()?;
                // The certificate is there only after a while.
                let client = self.try_client().await?;
                tokio::time::timeout(Duration::from_secs(2), client.send(request)).await.ok()?.ok()
            });
            if is_ready.is_some_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(
                Instant::now() < end,
                "the API server is not ready; see {}",
                self.api_server.log.display()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A kubeconfig that may do everything.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Written once: whoever reads it must never find half of it.
    fn write_kubeconfig(folder: &Path, port: u16) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{ name: test, cluster: {{ server: 'https://127.0.0.1:{port}', certificate-authority: '{}' }} }}]\n\
             users: [{{ name: test, user: {{ token: {TOKEN} }} }}]\n\
             contexts: [{{ name: test, context: {{ cluster: test, user: test }} }}]\n",
            folder.join("certificates/apiserver.crt").display(),
        );
        fs::write(folder.join("kubeconfig"), text).unwrap();
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    async fn try_client(&self) -> Option<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).ok()?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.ok()?;
        Client::try_from(config).ok()
    }

    /// A client that may do everything.
    pub(crate) async fn client(&self) -> Client {
        self.try_client().await.expect("the kubeconfig is ours")
    }
}

fn etcd_arguments(folder: &Path, client_port: u16, peer_port: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    vec![
        format!("--data-dir={}", folder.join("store").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // What a test writes is gone with it.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn api_server_arguments(folder: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--cert-dir={}", file("certificates")),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--service-account-issuer=https://takt.test".to_owned(),
        format!("--service-account-key-file={}", file("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", file("service-accounts.pem")),
        // Nothing here has an account: accounts are the controller manager's.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]
}

/// What stands before the point of a public key on the curve P-256 in its SPKI (RFC 5480).
const SPKI_OF_P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

fn write_identities(folder: &Path) {
    fs::write(folder.join("tokens.csv"), format!("{TOKEN},administrator,1,system:masters\n")).unwrap();
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random).unwrap();
    let public = [SPKI_OF_P256, pair.public_key().as_ref()].concat();
    let write = |name: &str, kind: &str, der: &[u8]| {
        fs::write(folder.join(name), pem::encode(&pem::Pem::new(kind, der))).unwrap();
    };
    write("service-accounts.pem", "PRIVATE KEY", private.as_ref());
    write("service-accounts.pub", "PUBLIC KEY", &public);
}

/// Ports that were free a moment ago; all are held until all are found, so that they differ.
fn free_ports() -> [u16; 3] {
    [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap()).map(|held| held.local_addr().unwrap().port())
}

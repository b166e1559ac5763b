//! A node of the cluster: a host with a containerd and a kubelet of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use sim_lab::kick::{Kick, signal};
use sim_lab::process::{EndBy, Process, command_in};

use crate::ClusterError;
use crate::network::Edge;

const CGROUPS: &str = "/sys/fs/cgroup";
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// containerd answers after about a second.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// The image that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "takt.test/pause:1";

/// What a node is made of.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) edge: Edge,
    /// Where all that it keeps lies; short, for sockets.
    pub(crate) folder: PathBuf,
    /// The programs.
    pub(crate) programs: PathBuf,
    /// Its network.
    pub(crate) namespace: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

/// A running node.
pub(crate) struct Node {
    plan: NodePlan,
    kubelet: Option<Process>,
    containerd: Option<Process>,
}

impl Node {
    /// Starts containerd, brings the images, and starts the kubelet.
    pub(crate) fn start(plan: NodePlan, images: &[PathBuf]) -> Result<Self, ClusterError> {
        for folder in ["containerd", "cni", "kubelet", "pod-logs"] {
            let folder = plan.folder.join(folder);
            fs::create_dir_all(&folder).map_err(ClusterError::file(&folder))?;
        }
        make_groups(plan.edge)?;
        for (name, text) in [
            ("containerd.toml", plan.containerd()),
            ("kubelet.yaml", plan.kubelet()),
            ("cni/10-ptp.conflist", plan.cni()),
        ] {
            let path = plan.folder.join(name);
            fs::write(&path, text).map_err(ClusterError::file(&path))?;
        }
        let mut node = Self { plan, kubelet: None, containerd: None };
        node.start_containerd()?;
        for image in images {
            node.ctr(&["images", "import", &image.display().to_string()])?;
        }
        node.start_kubelet()?;
        Ok(node)
    }

    /// Starts containerd, and waits until it answers.
    pub(crate) fn start_containerd(&mut self) -> Result<(), ClusterError> {
        let mut command = self.command("containerd");
        command.arg("--config").arg(self.plan.folder.join("containerd.toml"));
        self.containerd = Some(self.started("containerd", command)?);
        crate::kubectl::until("containerd", ANSWERS_WITHIN, || Ok(self.ctr(&["version"]).ok().map(drop)))
    }

    /// Starts the kubelet.
    pub(crate) fn start_kubelet(&mut self) -> Result<(), ClusterError> {
        let mut command = self.command("kubelet");
        command.arg(format!("--config={}", self.plan.folder.join("kubelet.yaml").display()));
        command.arg(format!("--kubeconfig={}", self.plan.kubeconfig.display()));
        command.arg(format!("--root-dir={}", self.plan.folder.join("kubelet").display()));
        command.arg(format!("--hostname-override={}", self.plan.edge.name()));
        command.arg(format!("--node-ip={}", self.plan.edge.address()));
        command.arg("--node-labels=control.takt.dev/edge=true");
        self.kubelet = Some(self.started("kubelet", command)?);
        Ok(())
    }

    fn command(&self, name: &str) -> std::process::Command {
        let mut command = command_in(Some(&self.plan.namespace), &self.plan.programs.join(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = format!("{}:{}", self.plan.programs.display(), path.to_string_lossy());
        command.env("PATH", path).current_dir(&self.plan.folder);
        command
    }

    fn started(&self, name: &str, command: std::process::Command) -> Result<Process, ClusterError> {
        let log = self.plan.folder.join(format!("{name}.log"));
        Ok(Process::start_command(name, command, EndBy::Signal, &log)?)
    }

    /// Kills the kubelet.
    pub(crate) fn kill_kubelet(&mut self) {
        self.kubelet = None;
    }

    /// Kills containerd.
    pub(crate) fn kill_containerd(&mut self) {
        self.containerd = None;
    }

    /// An error if a part of it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), ClusterError> {
        for process in [&mut self.kubelet, &mut self.containerd].into_iter().flatten() {
            process.check()?;
        }
        Ok(())
    }

    /// The folder of a pod's volume.
    pub(crate) fn volume(&self, pod_uid: &str, name: &str) -> PathBuf {
        let pod = self.plan.folder.join("kubelet/pods").join(pod_uid);
        pod.join("volumes/kubernetes.io~empty-dir").join(name)
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let mut command = self.command("ctr");
        command.arg("--address").arg(self.plan.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        let shown = || format!("ctr {}", arguments.join(" "));
        let output = command
            .output()
            .map_err(|error| ClusterError::Tool { command: shown(), why: error.to_string() })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ClusterError::Tool { command: shown(), why })
    }

    /// Ends all tasks of containerd: they outlive it.
    fn end_tasks(&self) {
        let Ok(list) = self.ctr(&["tasks", "list", "--quiet"]) else { return };
        for task in list.lines() {
            let _ = self.ctr(&["tasks", "kill", "--signal", "KILL", task]);
        }
        std::thread::sleep(Duration::from_millis(500));
        for task in list.lines() {
            let _ = self.ctr(&["tasks", "delete", "--force", task]);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(kubelet) = &mut self.kubelet {
            let _ = kubelet.end(ENDS_WITHIN);
        }
        if self.containerd.is_none() {
            let _ = self.start_containerd();
        }
        self.end_tasks();
        if let Some(containerd) = &mut self.containerd {
            let _ = containerd.end(ENDS_WITHIN);
        }
        kill_groups(self.plan.edge);
        unmount_below(&self.plan.folder);
        remove_groups(self.plan.edge);
    }
}

impl NodePlan {
    fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    fn containerd(&self) -> String {
        let (folder, programs) = (self.folder.display(), self.programs.display());
        let socket = self.socket();
        format!(
            "version = 3\n\
             root = '{folder}/containerd/root'\n\
             state = '{folder}/containerd/state'\n\
             [grpc]\naddress = '{}'\n\
             [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '{PAUSE_IMAGE}'\n\
             [plugins.'io.containerd.cri.v1.runtime']\n\
             # Without CAP_SYS_RESOURCE nobody can be made less likely to be killed.\n\
             restrict_oom_score_adj = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\n\
             bin_dirs = ['{programs}']\nconf_dir = '{folder}/cni'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n\
             runtime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n\
             BinaryName = '{programs}/runc'\nSystemdCgroup = false\n",
            socket.display()
        )
    }

    fn kubelet(&self) -> String {
        let folder = self.folder.display();
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
             authentication: {{ anonymous: {{ enabled: true }}, webhook: {{ enabled: false }} }}\n\
             authorization: {{ mode: AlwaysAllow }}\n\
             cgroupDriver: cgroupfs\ncgroupRoot: /{}\nfailCgroupV1: false\nfailSwapOn: false\n\
             containerRuntimeEndpoint: unix://{}\n\
             # A whole core is never given away; half of one is left for pods without cores of their own.\n\
             cpuManagerPolicy: static\nkubeReserved: {{ cpu: 500m }}\n\
             makeIPTablesUtilChains: false\nlocalStorageCapacityIsolation: false\n\
             podLogsDir: {folder}/pod-logs\n\
             # A container that is killed often starts again soon.\n\
             featureGates: {{ KubeletCrashLoopBackOffMax: true }}\n\
             crashLoopBackOff: {{ maxContainerRestartPeriod: 1s }}\n\
             evictionHard: {{ memory.available: 50Mi }}\nimageGCHighThresholdPercent: 100\n",
            self.edge.name(),
            self.socket().display(),
        )
    }

    fn cni(&self) -> String {
        let subnet = format!("10.79.{}.0/24", self.edge.index());
        let ipam =
            serde_json::json!({ "type": "host-local", "subnet": subnet, "routes": [{ "dst": "0.0.0.0/0" }] });
        serde_json::json!({
            "cniVersion": "1.0.0", "name": "pods",
            "plugins": [{ "type": "ptp", "ipam": ipam }],
        })
        .to_string()
    }
}

/// The controllers of version 1 that are mounted, each with its folder.
fn controllers() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(CGROUPS) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.clone_children").exists())
        .collect()
}

/// kubelet does not make its root group, and a group without cores and memory can hold no process.
fn make_groups(edge: Edge) -> Result<(), ClusterError> {
    for controller in controllers() {
        let group = controller.join(edge.name());
        fs::create_dir_all(&group).map_err(ClusterError::file(&group))?;
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read_to_string(controller.join(name)) {
                let file = group.join(name);
                fs::write(&file, all.trim()).map_err(ClusterError::file(&file))?;
            }
        }
    }
    Ok(())
}

/// All groups below one, deepest first, and itself.
fn tree(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<PathBuf> = below.flat_map(|entry| tree(&entry.path())).collect();
    all.push(group.to_path_buf());
    all
}

/// The processes with this name in a pod's containers.
pub(crate) fn processes_of_pod(edge: Edge, pod_uid: &str, name: &str) -> Vec<u32> {
    let groups = tree(&Path::new(CGROUPS).join("pids").join(edge.name()));
    let of_pod = groups.iter().filter(|group| group.to_string_lossy().contains(pod_uid));
    let processes = of_pod.flat_map(|group| {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        processes.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>()
    });
    let is_named =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name);
    processes.filter(is_named).collect()
}

/// Kills what is left in a node's groups: all of it was started by the node.
fn kill_groups(edge: Edge) {
    for group in tree(&Path::new(CGROUPS).join("pids").join(edge.name())) {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines().filter_map(|line| line.parse().ok()) {
            let _ = signal(pid, Kick::Kill);
        }
    }
    std::thread::sleep(Duration::from_millis(200));
}

fn remove_groups(edge: Edge) {
    let Ok(entries) = fs::read_dir(CGROUPS) else { return };
    // containerd makes them in the hierarchy of version 2 too.
    for hierarchy in entries.flatten() {
        for group in tree(&hierarchy.path().join(edge.name())) {
            let _ = fs::remove_dir(group);
        }
    }
}

/// Unmounts all volumes and containers of a node.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<PathBuf> =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect();
    points.retain(|point| point.starts_with(folder));
    // The last mounted first.
    for point in points.iter().rev() {
        let _ = unmount(point, UnmountFlags::DETACH);
    }
}

//! The lab's API, as init serves it.

use crate::{
    agent::{Action, Agent, State},
    children::Children,
    exec, measure,
    power::Power,
};
use nestless_lab::guest::proto::{
    AddNamespaceResponse, AgentRequest, AgentResponse, AwaitNicRequest, AwaitNicResponse, DescribeRequest,
    DescribeResponse, ExecInput, ExecOutput, ListNamespacesRequest, ListNamespacesResponse, MeasureRequest,
    MeasureResponse, NamespaceRequest, NamespaceResponse, PowerRequest, PowerResponse, WriteFileRequest,
    WriteFileResponse, agent_request, exec_input, guest_server, power_request,
};
use nestless_model::identity::{ContainerId, Mac};
use nestless_support::{
    error_chain::in_full,
    netlink::{LinkEvent, LinkMonitor, Netlink},
    netns::{Namespace, NamespaceError},
};
use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Output messages under way to a slow caller.
const OUTPUT_QUEUE: usize = 16;

/// Serves every caller.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) boot_id: String,
    pub(crate) children: Children,
    pub(crate) agent: Agent,
    pub(crate) power: Power,
}

#[tonic::async_trait]
impl guest_server::Guest for Service {
    type ExecStream = ReceiverStream<Result<ExecOutput, Status>>;

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_err(|e| failed("read the kernel's release", &e))?;
        Ok(Response::new(DescribeResponse {
            boot_id: self.boot_id.clone(),
            kernel: kernel.trim().to_owned(),
        }))
    }

    async fn exec(
        &self,
        request: Request<Streaming<ExecInput>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let mut input = request.into_inner();
        let Some(ExecInput { input: Some(exec_input::Input::Start(start)) }) = input.message().await? else {
            return Err(Status::invalid_argument("the first input of Exec is to be `start`"));
        };
        let (sender, receiver) = mpsc::channel(OUTPUT_QUEUE);
        exec::run(&self.children, start, input, sender)?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn measure(&self, request: Request<MeasureRequest>) -> Result<Response<MeasureResponse>, Status> {
        let runs = measure::run(&self.children, &request.into_inner().programs).await?;
        Ok(Response::new(MeasureResponse { runs }))
    }

    async fn await_nic(
        &self,
        request: Request<AwaitNicRequest>,
    ) -> Result<Response<AwaitNicResponse>, Status> {
        let mac: Mac = request
            .into_inner()
            .mac
            .parse()
            .map_err(|error| Status::invalid_argument(format!("an address of a NIC: {error}")))?;
        let mut monitor = LinkMonitor::here().map_err(|e| failed("watch links", &e))?;
        loop {
            let event = monitor.next().await.map_err(|e| failed("watch links", &e))?;
            if let LinkEvent::Present(link) = event
                && link.mac.is_some_and(|found| found.0 == mac.bytes())
            {
                return Ok(Response::new(AwaitNicResponse {}));
            }
        }
    }

    async fn write_file(
        &self,
        request: Request<WriteFileRequest>,
    ) -> Result<Response<WriteFileResponse>, Status> {
        let WriteFileRequest { path, content, mode } = request.into_inner();
        write_file(Path::new(&path), &content, mode)
            .map_err(|error| failed(&format!("write {path}"), &error))?;
        Ok(Response::new(WriteFileResponse {}))
    }

    async fn add_namespace(
        &self,
        request: Request<NamespaceRequest>,
    ) -> Result<Response<AddNamespaceResponse>, Status> {
        let path = namespace_path(&request.into_inner().name)?;
        let namespace = match Namespace::create(&path) {
            Err(NamespaceError::Exists { .. }) => {
                return Ok(Response::new(AddNamespaceResponse { existed: true }));
            }
            made => made.map_err(|e| namespace_failed(&e))?,
        };
        if let Err(status) = set_lo_up(&namespace).await {
            // Its name is not to be in the way of the next try.
            Namespace::delete(&path).map_err(|e| namespace_failed(&e))?;
            return Err(status);
        }
        Ok(Response::new(AddNamespaceResponse { existed: false }))
    }

    async fn remove_namespace(
        &self,
        request: Request<NamespaceRequest>,
    ) -> Result<Response<NamespaceResponse>, Status> {
        let path = namespace_path(&request.into_inner().name)?;
        Namespace::delete(&path).map_err(|e| namespace_failed(&e))?;
        Ok(Response::new(NamespaceResponse {}))
    }

    async fn list_namespaces(
        &self,
        _: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        let entries = match fs::read_dir(exec::NAMESPACES) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Response::new(ListNamespacesResponse::default()));
            }
            Err(error) => return Err(failed("list namespaces", &error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(Response::new(ListNamespacesResponse { names }))
    }

    async fn agent(&self, request: Request<AgentRequest>) -> Result<Response<AgentResponse>, Status> {
        let action = match request.into_inner().action() {
            agent_request::Action::State => Action::State,
            agent_request::Action::Stop => Action::Stop,
            agent_request::Action::Start => Action::Start,
            agent_request::Action::Kill => Action::Kill,
        };
        let ended = || Status::unavailable("the VM is going down");
        let State { pid, starts } = self.agent.ask(action).await.ok_or_else(ended)?;
        Ok(Response::new(AgentResponse { pid: pid.unwrap_or_default(), starts }))
    }

    async fn power(&self, request: Request<PowerRequest>) -> Result<Response<PowerResponse>, Status> {
        match request.into_inner().action() {
            power_request::Action::Off => self.power.off(),
            power_request::Action::Reboot => self.power.reboot(),
        }
        Ok(Response::new(PowerResponse {}))
    }
}

async fn set_lo_up(namespace: &Namespace) -> Result<(), Status> {
    let netlink = Netlink::inside(namespace).await.map_err(|e| failed("open netlink", &e))?;
    let lo = netlink.link("lo").await.map_err(|e| failed("find lo", &e))?;
    netlink.set_up(&lo).await.map_err(|e| failed("set lo up", &e))
}

fn namespace_path(name: &str) -> Result<PathBuf, Status> {
    let name = ContainerId::new(name).map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(Path::new(exec::NAMESPACES).join(name.as_str()))
}

fn namespace_failed(error: &NamespaceError) -> Status {
    failed("network namespace", error)
}

/// Whole or not at all: a reader never sees half of it.
fn write_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("not a path of a file"))?;
    fs::create_dir_all(parent)?;
    let partial = parent.join(format!(".{}.partial", path.file_name().unwrap_or_default().to_string_lossy()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
    io::Write::write_all(&mut file, content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    fs::rename(partial, path)
}

/// A test reads the message and nothing else, so it holds the whole chain.
fn failed(operation: &str, error: &dyn std::error::Error) -> Status {
    Status::internal(format!("{operation}: {}", in_full(error)))
}

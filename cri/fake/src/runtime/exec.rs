//! Commands in containers: their results are set up by the test.

use std::time::Duration;

use keelson_cri::values::{ContainerState, ExecOutput};

use super::{Runtime, RuntimeError};

impl Runtime {
    /// Sets what a command in containers of that name gives, and how long it takes. A command
    /// that was not set up prints nothing and succeeds at once.
    pub fn set_exec(
        &mut self,
        container_name: &str,
        command: &[&str],
        output: ExecOutput,
        takes: Duration,
    ) {
        let command = command.iter().map(ToString::to_string).collect();
        self.exec_results
            .insert((container_name.to_owned(), command), (output, takes));
    }

    /// `ExecSync`: what the command gives and how long that takes; a timeout of zero is none.
    ///
    /// # Errors
    /// When the container is not there or does not run. A command that outlives its timeout fails
    /// with [`RuntimeError::ExecTimeout`], which is due after the timeout.
    pub fn exec(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<(Duration, Result<ExecOutput, RuntimeError>), RuntimeError> {
        let status = &self.container(id)?.status;
        if status.state != ContainerState::Running {
            return Err(RuntimeError::WrongState(format!(
                "container is in state {:?}",
                status.state
            )));
        }
        let key = (status.name.clone(), command.to_vec());
        let silent = ExecOutput {
            stdout: Vec::new(),
            stderr: Vec::new(),
            exit_code: 0,
        };
        let (output, takes) = self
            .exec_results
            .get(&key)
            .cloned()
            .unwrap_or((silent, Duration::ZERO));
        if !timeout.is_zero() && takes > timeout {
            return Ok((timeout, Err(RuntimeError::ExecTimeout(timeout))));
        }
        Ok((takes, Ok(output)))
    }

    /// `Exec` and `Attach`: where to stream; `verb` is `exec` or `attach`.
    ///
    /// # Errors
    /// When the container is not there or does not run, or there is no streaming server.
    pub fn stream_url(&self, verb: &str, id: &str) -> Result<String, RuntimeError> {
        let state = self.container(id)?.status.state;
        if state != ContainerState::Running {
            return Err(RuntimeError::WrongState(format!(
                "container is in state {state:?}"
            )));
        }
        self.url(verb, id)
    }

    /// `PortForward`: where to stream.
    ///
    /// # Errors
    /// When the sandbox is not there, or there is no streaming server.
    pub fn port_forward_url(&self, sandbox_id: &str) -> Result<String, RuntimeError> {
        self.sandbox(sandbox_id)?;
        self.url("portforward", sandbox_id)
    }

    fn url(&self, verb: &str, id: &str) -> Result<String, RuntimeError> {
        let base = self.streaming_url.as_ref();
        let base = base.ok_or(RuntimeError::NoStreaming)?;
        Ok(format!("{base}/{verb}/{id}"))
    }
}

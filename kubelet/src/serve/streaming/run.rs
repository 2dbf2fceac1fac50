//! `/run`: a command without streams, whose output comes when it has ended.

use std::time::Duration;

use hyper::{Response, StatusCode};

use super::respond::StreamError;
use crate::probe::ExecSync;
use crate::serve::body::{self, Body};
use crate::serve::query::Query;

/// Runs the words of `cmd`, split at each space, and answers with standard output followed by
/// standard error.
pub(super) async fn run(
    runtime: &impl ExecSync,
    container_id: &str,
    query: &Query,
    limit: Duration,
) -> Result<Response<Body>, StreamError> {
    let line = query.first("cmd").unwrap_or_default();
    let command: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let output = runtime.exec_sync(container_id, &command, limit).await?;
    if output.exit_code != 0 {
        return Err(StreamError::ExitCode {
            line: line.to_owned(),
            code: output.exit_code,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let combined = [output.stdout, output.stderr].concat();
    Ok(body::json(StatusCode::OK, combined))
}

#[cfg(test)]
mod tests {
    use super::super::respond::respond;
    use super::*;
    use http_body_util::BodyExt;
    use keelson_cri::CriError;
    use keelson_cri::values::ExecOutput;

    /// Says what it was asked to run on standard output, and ends with a fixed code.
    struct Echo(i32);

    impl ExecSync for Echo {
        async fn exec_sync(
            &self,
            container_id: &str,
            command: &[String],
            _timeout: Duration,
        ) -> Result<ExecOutput, CriError> {
            Ok(ExecOutput {
                stdout: format!("{container_id}{command:?}").into(),
                stderr: b"!".to_vec(),
                exit_code: self.0,
            })
        }
    }

    async fn check(code: i32, status: StatusCode, expected: &str) {
        let query = Query::parse("cmd=echo+a%20%20b");
        let ran = run(&Echo(code), "c1", &query, Duration::from_secs(1)).await;
        let response = ran.unwrap_or_else(respond);
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn output_or_exit_code() {
        check(0, StatusCode::OK, "c1[\"echo\", \"a\", \"\", \"b\"]!").await;
        let failed = "command 'echo a  b' exited with 3: !";
        check(3, StatusCode::INTERNAL_SERVER_ERROR, failed).await;
    }
}

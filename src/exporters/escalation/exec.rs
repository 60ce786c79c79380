//! Programs: run without a shell, for a bounded time, with a bounded memory of what they say.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

/// Bytes kept of what a program says.
const MOST_OUTPUT: u64 = 2000;
/// Variables of ours a program is given: where programs are, and who it is for the clouds.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "HTTPS_PROXY", "NO_PROXY"];
const PASSED_ON_FAMILIES: [&str; 4] = ["AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_"];

/// Runs `command` with `variables`; what it said, or how it failed.
pub async fn run(command: &[String], variables: &[(String, String)], patience: Duration) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("there is nothing to run")?;
    let passed_on = std::env::vars().filter(|(name, _)| {
        PASSED_ON.contains(&name.as_str()) || PASSED_ON_FAMILIES.iter().any(|family| name.starts_with(family))
    });
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(passed_on)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(child.wait(), beginning(stdout), beginning(stderr)) };
    let Ok((status, stdout, stderr)) = timeout(patience, all).await else {
        return Err(format!("{program} did not end within {}s and was ended", patience.as_secs_f32()));
    };
    let said = [stdout, stderr].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
    match status {
        Ok(status) if status.success() => Ok(said),
        Ok(status) => Err(format!("{program} ended with {status}: {said}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// The first of what is said; the rest is read and forgotten, so that nobody waits for us to listen.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut text = Vec::new();
    let _ = (&mut pipe).take(MOST_OUTPUT).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn programs_end_in_time_and_are_heard() {
        let variables = [("SEKISHO_FUNCTION".to_owned(), "a; touch b".to_owned())];
        let patience = Duration::from_secs(20);
        let good = run(&shell("echo \"$SEKISHO_FUNCTION\"; echo quietly >&2"), &variables, patience).await;
        assert_eq!(good, Ok("a; touch b\nquietly".to_owned()));
        let bad = run(&shell("echo no; exit 3"), &[], patience).await.unwrap_err();
        assert!(bad.contains("exit status: 3: no"), "{bad}");
        let missing = run(&["/no/such/program".to_owned()], &[], patience).await.unwrap_err();
        assert!(missing.contains("cannot be run"), "{missing}");
        let late = run(&shell("exec sleep 600"), &[], Duration::from_millis(50)).await.unwrap_err();
        assert!(late.contains("did not end"), "{late}");
        let chatty = run(&shell("yes | head -c 1000000"), &[], patience).await.unwrap();
        assert!(chatty.len() <= MOST_OUTPUT as usize);
        // Cargo has told the test its own name.
        let secret = run(&shell("echo \"[$CARGO_MANIFEST_DIR]\""), &[], patience).await;
        assert_eq!(secret, Ok("[]".to_owned()), "our own variables are not for others");
    }
}

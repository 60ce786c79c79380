//! The floor: a process that only moves bytes from one socket to another. Nothing that forwards over TCP costs less.

use super::Fallible;

/// Each direction's buffer; larger ones do not help.
const BUFFER: usize = 256 << 10;

/// Connects everyone who comes to `listen` with the sink.
pub async fn run(listen: u16, sink: u16) -> Fallible<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", listen)).await?;
    loop {
        let (mut sender, _) = listener.accept().await?;
        tokio::spawn(async move {
            sender.set_nodelay(true)?;
            let mut to = tokio::net::TcpStream::connect(("127.0.0.1", sink)).await?;
            to.set_nodelay(true)?;
            tokio::io::copy_bidirectional_with_sizes(&mut sender, &mut to, BUFFER, BUFFER).await
        });
    }
}

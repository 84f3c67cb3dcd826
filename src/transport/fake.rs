//! Transports without a network, for tests of what stands above: one that answers by a closure, and one that runs the
//! commands on this machine.

mod local;
mod scripted;

pub use local::{LocalConnector, LocalTransport};
pub use scripted::{Call, FakeConnector, FakeTransport, Reply};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::host::{Kind, Request, Segment};
    use crate::model::HostName;
    use crate::transport::{Chunk, Connect, Elevation, Exit, Target, Transport, TransportError};

    fn target() -> Target {
        Target {
            name: HostName::new("node").unwrap(),
            address: "node".into(),
            port: 22,
            user: "root".into(),
            keys: Vec::new(),
            elevation: Elevation::None,
            access: crate::transport::Access::default(),
            jumps: Vec::new(),
        }
    }

    fn request(command: &str, stdin: &[u8]) -> Request {
        Request::new(
            Kind::Wave,
            command.into(),
            vec![Segment::Bytes(Arc::new(stdin.to_vec()))],
        )
    }

    async fn run(
        transport: &dyn Transport,
        request: Request,
    ) -> (Result<Exit, TransportError>, Vec<Chunk>) {
        let (sender, mut receiver) = mpsc::channel(4);
        let collect = async {
            let mut chunks = Vec::new();
            while let Some(chunk) = receiver.recv().await {
                chunks.push(chunk);
            }
            chunks
        };
        tokio::join!(transport.exec(request, None, sender), collect)
    }

    #[tokio::test]
    async fn a_fake_answers_and_remembers() {
        let connector = FakeConnector::new(|call| match call.request.command() {
            "hostname" => Reply::stdout(call.host.clone()),
            _ => Reply::status(1).and_stderr("what?"),
        });
        let transport = connector.connect(&target()).await.unwrap();
        let (result, chunks) = run(&*transport, request("hostname", b"in")).await;
        assert_eq!(result.unwrap().status, 0);
        assert_eq!(chunks, [Chunk::Sent(2), Chunk::Stdout(b"node".to_vec())]);
        assert_eq!(
            run(&*transport, request("x", b"")).await.0.unwrap().status,
            1
        );
        assert_eq!(connector.calls().len(), 2);
        transport.close().await;
        assert!(matches!(
            run(&*transport, request("x", b"")).await.0,
            Err(TransportError::Lost { .. })
        ));

        let down = TransportError::Unreachable {
            address: "node:22".into(),
            reason: "down".into(),
            help: String::new(),
        };
        let connector = connector.with_dial(move |_| Err(down.clone()));
        assert!(connector.connect(&target()).await.is_err());
    }

    #[tokio::test]
    async fn a_local_transport_runs_the_command() {
        let transport = LocalConnector::default()
            .with_variable("WORD", "set")
            .transport();
        let payload = vec![9; 3 << 20];
        let (result, chunks) =
            run(&transport, request("cat; echo $WORD >&2; exit 6", &payload)).await;
        assert_eq!(result.unwrap().status, 6);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for chunk in chunks {
            match chunk {
                Chunk::Stdout(bytes) => out.extend(bytes),
                Chunk::Stderr(bytes) => err.extend(bytes),
                Chunk::Sent(sent) => assert_eq!(sent, 3 << 20),
            }
        }
        assert!(out == payload);
        assert_eq!(err, b"set\n");
        // A command that reads nothing.
        assert_eq!(
            run(&transport, request("exec 0<&-; exit 2", &payload))
                .await
                .0
                .unwrap()
                .status,
            2
        );
        assert_eq!(
            run(&transport, request("kill -9 $$", b""))
                .await
                .0
                .unwrap()
                .status,
            137
        );
        let nothing = LocalConnector::new(&["/no/such/shell"]).transport();
        assert!(matches!(
            run(&nothing, request("true", b"")).await.0,
            Err(TransportError::Unreachable { .. })
        ));
    }
}

"""The protocol between the master and the node agents: messages, client, server side and TLS roles."""

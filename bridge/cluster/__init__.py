"""More than one process: which node has which Charge Point, and how nodes reach each other.

A node is one process of the bridge. A cluster of nodes shares its records through NATS JetStream. Each Charge Point is
in one of 1024 slots, and each slot is held by one node, which has the state of the slot's Charge Points and their
connections to Central Systems. A single process is a cluster of one, and needs nothing of this. No module here knows
OCPP.

    slots          the slot of a Charge Point
    ownership      decides which slots this node holds, and when it may use them. No I/O
    assignment     decides which node should hold which slot. No I/O
    cluster_map    what the shared stream says about nodes and slots
    member         runs the ownership of this node: its timer, and its commands
    courier        asks other nodes, and opens streams to them, over one link to each
    links          one connection between two nodes: asks, streams, and whether the peer is alive
    link_streams   frames in both directions, in order, with flow control
    link_listener  accepts the connections of other nodes
    link_tls       the TLS contexts of links between machines
    link_frames    octets from and to messages of a link. No I/O
    send_queue     in which order the messages of a link are written. No I/O
    hello          who is at the ends of a link, and whether they belong together. No I/O
    errors         why a node did not answer

    shared_stream    the stream of NATS JetStream that all nodes share, and the checks before it is used
    map_stream       presences, claims and assignments in it
    record_stream    the records in it, which only the holder of their slot can write
    stream_forms     its configuration, subjects, and the form of its messages. No I/O
    nats_connection  a connection to one of several NATS servers

    shared_store     the store of a node: the records of its slots
    slot_records     the records of one slot in memory. No I/O
    followed_records the records that every node has

    record_import    brings the records of a single process into the stream

    embedded_server  a NATS server of our own

    supervisor  starts the worker processes of this machine, and starts those again that end
    worker      what a supervisor hands to a worker process
"""

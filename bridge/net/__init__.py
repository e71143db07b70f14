"""Sockets: everything between the network and the codecs of `ocpps` and `ocppj`. No module decides about a message.

SOAP        http_server reads requests, soap_server serves them; soap_client POSTs Calls over http_client. endpoints,
            directions and overload hold what the server answers by itself; verdicts says what came back to a POST;
            lookups resolves host names; content_codings inflates bodies
JSON        json_server accepts WebSockets (accepted), json_client dials them; websocket carries frames, and
            json_channel turns frames into Calls and answers
Sockets     listening accepts connections; limits and proxies are packages for what a peer may take and what reverse
            proxies say of their peers; tls and certificates; descriptors counts open files
Work        tasks owns tasks and threads, and lets threads take short turns; large decodes large messages aside
"""

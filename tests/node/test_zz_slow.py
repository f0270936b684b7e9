import os, signal, socket, ssl, time, psycopg, sys
sys.path.insert(0,'/work/main/tests/node')
from test_node_life import *
from test_node_life import _api
def test_slow(server, node):
    with psycopg.connect(server.conninfo(), autocommit=True) as c:
        c.execute("CREATE DATABASE big")
    with psycopg.connect(server.conninfo("big")) as c:
        c.execute("DO $$ BEGIN FOR n IN 1..4000 LOOP EXECUTE format('CREATE TABLE a_table_with_a_long_name_%s ()', n); END LOOP; END $$")
    api=_api(node)
    token = api.log_in("demo", server.password_by_user["demo"]).json["session"]
    whole=api.get("nodes/local/ranges/", token)
    print(len(whole.body), whole.elapsed_s)
    request=f"GET /api/v2/nodes/local/ranges/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Cockroach-API-Session: {token}\r\n\r\n"
    context = ssl.create_default_context(cafile=str(node.certs_dir) + "/ca.crt")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", node.http_port))
        with context.wrap_socket(raw, server_hostname="localhost") as slow:
            slow.sendall(request.encode())
            got=slow.recv(1000)
            b=time.monotonic()
            os.kill(node.pid, signal.SIGTERM)
            time.sleep(2)
            print("after 2 s", node.is_running)
            while chunk:=slow.recv(65536):
                got+=chunk
                time.sleep(0.001)
            print(len(got), time.monotonic()-b)
    print(node.stop(), node.log.read_text())
def test_stalled(server, node):
    api=_api(node)
    token = api.log_in("demo", server.password_by_user["demo"]).json["session"]
    request=f"GET /api/v2/nodes/local/ranges/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Cockroach-API-Session: {token}\r\n\r\n"
    context = ssl.create_default_context(cafile=str(node.certs_dir) + "/ca.crt")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", node.http_port))
        with context.wrap_socket(raw, server_hostname="localhost") as slow:
            slow.sendall(request.encode())
            got=slow.recv(1000)
            b=time.monotonic()
            print(node.stop(), time.monotonic()-b)

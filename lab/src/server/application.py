"""The application of a lab: tells where it runs, and counts visits in PostgreSQL on its localhost."""

import json
import socket

import psycopg2

VISIT = """
create table if not exists visit (at timestamptz not null default now());
insert into visit default values;
select count(*), trim(both E'\\n' from pg_read_file('/proc/sys/kernel/hostname')),
       current_setting('server_version') from visit;
"""


def visit():
    with psycopg2.connect(host="127.0.0.1", user="postgres", dbname="postgres") as database:
        with database.cursor() as cursor:
            cursor.execute(VISIT)
            count, name, version = cursor.fetchone()
    database.close()
    return {"visits": count, "database": name, "database_version": version}


def application(environ, start_response):
    answer = {"application": socket.gethostname()}
    if environ["PATH_INFO"] == "/visits":
        answer.update(visit())
    body = json.dumps(answer).encode() + b"\n"
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

//! How each server is started, asked and put under load: what Debian's units do, in the words of a shell, since neither
//! a guest nor a pod has systemd.

/// One server.
pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) packages: &'static [&'static str],
    /// Written before the start.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Runs as long as the server does.
    pub(super) start: &'static str,
    pub(super) ask: &'static str,
    pub(super) load: &'static str,
}

pub(super) const NGINX: Recipe = Recipe {
    name: "nginx",
    port: 80,
    packages: &["nginx", "nginx-common", "wrk"],
    files: &[("/etc/nginx/conf.d/application.conf", APPLICATION_SITE)],
    // The package's script has put the page there on the host.
    start: r#"
set -e
page=/var/www/html/index.nginx-debian.html
[ -e $page ] || { mkdir -p /var/www/html && cp /usr/share/nginx/html/index.html $page; }
exec nginx -g 'daemon off;'
"#,
    ask: "busybox wget -q -O - http://127.0.0.1/ | grep -q '<title>'",
    load: r#"
told=$(wrk -t 1 -c 8 -d 2s http://127.0.0.1/) && echo "$told"
! echo "$told" | grep -E 'Socket errors|Non-2xx|^ *0 requests'
"#,
};

/// Beside Debian's own site: the application's, which says who has passed its answer on.
const APPLICATION_SITE: &str = r#"
server {
    listen 8080;
    location / {
        proxy_pass http://127.0.0.1:8000;
        add_header X-Web-Server $hostname;
    }
}
"#;

pub(super) const REDIS: Recipe = Recipe {
    name: "redis",
    port: 6379,
    packages: &["redis-server", "redis-tools"],
    files: &[],
    start: r#"
set -e
for dir in /var/lib/redis /var/log/redis /run/redis; do mkdir -p $dir; chown redis:redis $dir; done
exec setpriv --reuid redis --regid redis --init-groups redis-server /etc/redis/redis.conf --daemonize no
"#,
    ask: "redis-cli ping | grep -q PONG",
    // It tells of an error, and ends with 0 all the same.
    load: r#"
told=$(redis-benchmark -q -n 2000 -c 20 -t ping,set,get,incr,lpush,lpop,mset) && echo "$told"
! echo "$told" | grep -i error
"#,
};

pub(super) const MEMCACHED: Recipe = Recipe {
    name: "memcached",
    port: 11211,
    packages: &["memcached", "libmemcached-tools"],
    files: &[],
    // Of its unit's wrapper only what reads the configuration: without -d (daemon), -P (file) and the log's name. The
    // package's script has copied the default on the host.
    start: r#"
settings=/etc/memcached.conf
[ -e $settings ] || settings=/usr/share/memcached/memcached.conf.default
exec memcached $(grep -E '^-[mpul] ' $settings)
"#,
    ask: r"printf 'version\r\nquit\r\n' | busybox nc 127.0.0.1 11211 | grep -q VERSION",
    load: "memccapable -h 127.0.0.1 -p 11211 -a && memcslap --servers=127.0.0.1 --execute-number=500 --concurrency=4",
};

pub(super) const POSTGRES: Recipe = Recipe {
    name: "postgres",
    port: 5432,
    packages: &["postgresql-[0-9][0-9]", "postgresql-client-[0-9][0-9]", "tzdata"],
    files: &[],
    start: r#"
set -e
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH
data=/var/lib/postgresql/lab
for dir in /run/postgresql $data; do mkdir -p $dir; chown postgres:postgres $dir; done
chmod 700 $data
cd $data
as="setpriv --reuid postgres --regid postgres --init-groups"
[ -e $data/PG_VERSION ] || $as initdb --no-sync -D $data
exec $as postgres -D $data
"#,
    ask: r#"
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH
[ "$(psql -h 127.0.0.1 -U postgres -Atc 'select 6 * 7')" = 42 ]
"#,
    load: r#"
set -e
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH
export PGHOST=127.0.0.1 PGUSER=postgres
pgbench -q -i -s 1 postgres
pgbench -c 4 -t 50 postgres
"#,
};

pub(super) const GUNICORN: Recipe = Recipe {
    name: "gunicorn",
    port: 8000,
    packages: &[
        "python3-minimal",
        "python3.[0-9]*-minimal",
        "libpython3.[0-9]*-minimal",
        "libpython3.[0-9]*-stdlib",
        "python3-pkg-resources",
        "python3-setuptools",
        "python3-gunicorn",
        "gunicorn",
        "python3-psycopg2",
        "media-types",
        "wrk",
    ],
    files: &[("/run/nestless-lab/application/application.py", include_str!("application.py"))],
    start: "exec /usr/bin/gunicorn --chdir /run/nestless-lab/application application:application",
    ask: "busybox wget -q -O - http://127.0.0.1:8000/ | grep -q '\"application\"'",
    load: r#"
told=$(wrk -t 1 -c 4 -d 2s http://127.0.0.1:8000/) && echo "$told"
! echo "$told" | grep -E 'Socket errors|Non-2xx|^ *0 requests'
"#,
};

// rig.cjs: what the benchmarks run on: a private Postgres, Copper, nginx, all on loopback and free ports, in a
// directory of their own that is removed at the end. Whatever was started is stopped, also after an error or Ctrl-C.
'use strict';

const { spawn, spawnSync, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const root = path.dirname(__dirname);
const binary = process.env.COPPER_BINARY || path.join(root, 'build/release/copper');
const load = process.env.COPPER_LOAD || path.join(root, 'build/release/bench/copper_load');
const benchRegistry = process.env.COPPER_BENCH_REGISTRY || path.join(path.dirname(load), 'bench_registry');
const benchRouter = process.env.COPPER_BENCH_ROUTER || path.join(path.dirname(load), 'bench_router');
const benchEpoll = process.env.COPPER_BENCH_EPOLL || path.join(path.dirname(load), 'bench_epoll');
const copyShapes = process.env.COPPER_COPY_SHAPES || path.join(path.dirname(load), 'copy_shapes');
const isRoot = process.getuid() === 0;
const endings = []; // run last to first, synchronously

function pgBin(name) {
	for (const version of ['15', '16', '17', '18', '14']) {
		const file = `/usr/lib/postgresql/${version}/bin/${name}`;
		if (fs.existsSync(file)) return file;
	}
	return name;
}

/** A command line that runs as the user Postgres accepts. */
function asPg(argv) {
	return isRoot ? ['runuser', '-u', 'postgres', '--', ...argv] : argv;
}

function sync(argv, opts = {}) {
	const res = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8', maxBuffer: 1 << 28, ...opts });
	if (res.error) throw res.error;
	if (res.status !== 0) throw new Error(`${argv.join(' ')}\nended with ${res.status}: ${res.stderr || res.stdout}`);
	return res.stdout;
}

/** Runs a command; resolves with its output and the milliseconds until it ended. */
function run(argv, opts = {}) {
	return new Promise((resolve, reject) => {
		const start = process.hrtime.bigint();
		const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], ...opts });
		let ms = 0;
		let out = '';
		let err = '';
		if (child.stdout) child.stdout.on('data', (d) => (out += d));
		if (child.stderr) child.stderr.on('data', (d) => (err += d));
		child.on('error', reject);
		child.on('exit', () => (ms = Number(process.hrtime.bigint() - start) / 1e6));
		child.on('close', (code, signal) => {
			if (code === 0) resolve({ out, err, ms });
			else reject(new Error(`${argv.join(' ')}\nended with ${code ?? signal}: ${err || out}`));
		});
	});
}

/** The last JSON line of the load generator's output. */
function lastJson(out) {
	return JSON.parse(out.trim().split('\n').pop());
}

/** The load generator finds the database by libpq's variables, so that no password is on its command line. */
let loadEnv = process.env;

async function loadRun(...args) {
	return lastJson((await run([load, ...args.map(String)], { env: loadEnv })).out);
}

/** A load generator to talk to: lines() resolves with the next JSON line, end() with the rest's last. */
function loadStart(...args) {
	const child = spawn(load, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'], env: loadEnv });
	const lines = [];
	const waiting = [];
	let text = '';
	let code = null;
	const settle = () => {
		while (waiting.length && (lines.length || code !== null)) {
			const { resolve, reject } = waiting.shift();
			if (lines.length) resolve(lines.shift());
			else reject(new Error(`load ${args.join(' ')} ended with ${code}`));
		}
	};
	child.stdout.on('data', (d) => {
		text += d;
		const parts = text.split('\n');
		text = parts.pop();
		for (const part of parts) if (part.startsWith('{')) lines.push(JSON.parse(part));
		settle();
	});
	child.on('close', (c, signal) => {
		code = c ?? signal;
		settle();
	});
	return {
		next: () => new Promise((resolve, reject) => { waiting.push({ resolve, reject }); settle(); }),
		say: (line) => child.stdin.write(line + '\n'),
		end: () => child.stdin.end(),
	};
}

function freePort() {
	return new Promise((resolve, reject) => {
		const server = net.createServer();
		server.on('error', reject);
		server.listen(0, '127.0.0.1', () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}

function get(url, method = 'GET', agent = false) {
	return new Promise((resolve, reject) => {
		const req = http.request(url, { method, agent }, (res) => {
			let body = '';
			res.on('data', (d) => (body += d));
			res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body }));
		});
		req.on('error', reject);
		req.end();
	});
}

function alive(pid) {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, seconds, check) {
	const end = Date.now() + seconds * 1000;
	for (;;) {
		const value = await check();
		if (value) return value;
		if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
		await pause(20);
	}
}

/** Anonymous memory of a process, in bytes. */
function rssAnon(pid) {
	return Number(/^RssAnon:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** Looks at a process' memory every few milliseconds; stop() gives the largest seen. */
function rssWatch(pid) {
	let max = 0;
	const timer = setInterval(() => { if (alive(pid)) max = Math.max(max, rssAnon(pid)); }, 5);
	return { stop: () => { clearInterval(timer); return max; } };
}

function workDir() {
	const dir = fs.mkdtempSync(path.join(process.env.BENCH_DIR || os.tmpdir(), 'copper-bench-'));
	fs.chmodSync(dir, 0o755);
	if (!process.env.BENCH_KEEP) endings.push(() => fs.rmSync(dir, { recursive: true, force: true }));
	return dir;
}

// fsync and full_page_writes stay on. Bulk writes use synchronous_commit=off (the WAL is the same); the latency
// benchmarks do not. Nothing that runs by itself (autovacuum, timed checkpoints) may fall into a measurement.
const pgSettings = {
	listen_addresses: '127.0.0.1', unix_socket_directories: '', wal_level: 'logical', max_connections: 100,
	shared_buffers: '512MB', max_wal_size: '8GB', checkpoint_timeout: '1h', autovacuum: 'off', wal_sender_timeout: 0,
	max_replication_slots: 20, max_wal_senders: 20, jit: 'off',
};

async function postgresStart(dir) {
	const home = path.join(dir, 'pg');
	const data = path.join(home, 'data');
	const password = require('node:crypto').randomBytes(18).toString('base64url');
	const port = await freePort();
	fs.mkdirSync(home);
	fs.writeFileSync(path.join(home, 'password'), password, { mode: 0o600 });
	if (isRoot) {
		const id = (flag) => Number(execFileSync('id', [flag, 'postgres']));
		fs.chownSync(home, id('-u'), id('-g'));
		fs.chownSync(path.join(home, 'password'), id('-u'), id('-g'));
	}
	sync(asPg([pgBin('initdb'), '-D', data, '-U', 'copper', '-E', 'UTF8', '--locale=C.UTF-8', '--auth=scram-sha-256',
		`--pwfile=${home}/password`, '--no-sync']), { cwd: '/' });
	const options = [`-p ${port}`, ...Object.entries(pgSettings).map(([k, v]) => `-c ${k}=${v}`)].join(' ');
	sync(asPg([pgBin('pg_ctl'), '-D', data, '-l', `${home}/log`, '-w', '-o', options, 'start']),
		{ cwd: '/', stdio: 'ignore' });
	endings.push(() => spawnSync(...((a) => [a[0], a.slice(1)])(
		asPg([pgBin('pg_ctl'), '-D', data, '-m', 'immediate', '-w', 'stop'])), { cwd: '/' }));
	const url = `postgresql://copper:${password}@127.0.0.1:${port}/postgres?sslmode=disable`;
	const env = { ...process.env, PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'copper', PGPASSWORD: password,
		PGDATABASE: 'postgres', PGSSLMODE: 'disable' };
	loadEnv = env;
	const psql = (sql, opts = '') => sync(['psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
		{ env: { ...env, PGOPTIONS: opts }, input: sql }).trim();
	return { url, env, psql, bulk: (sql) => psql(sql, '-c synchronous_commit=off') };
}

const slot = 'electric_slot_default';
const publication = 'electric_publication_default';

async function copperStart(dir, pg, name = 'copper', env = {}, args = []) {
	const port = await freePort();
	const logFile = path.join(dir, `${name}.log`);
	const log = fs.openSync(logFile, 'a');
	const child = spawn(binary, ['--port', String(port), '--storage-dir', path.join(dir, name), '--insecure', ...args], {
		cwd: dir, stdio: ['ignore', log, log],
		env: { ...process.env, DATABASE_URL: pg.url, ELECTRIC_ENABLE_INTEGRATION_TESTING: 'true',
			ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":100000,"existing":100000}', ...env },
	});
	fs.closeSync(log);
	const memory = rssWatch(child.pid);
	const stop = () => {
		if (child.exitCode !== null || child.signalCode !== null) return;
		child.kill('SIGTERM');
		for (const end = Date.now() + 10000; Date.now() < end;) {
			const state = fs.existsSync(`/proc/${child.pid}/stat`) && fs.readFileSync(`/proc/${child.pid}/stat`, 'utf8');
			if (!state || state.includes(') Z')) return;
			spawnSync('sleep', ['0.05']);
		}
		child.kill('SIGKILL');
	};
	endings.push(stop);
	const url = `http://127.0.0.1:${port}`;
	await until('copper to become active', 60, async () => {
		if (child.exitCode !== null) throw new Error(`copper ended:\n${fs.readFileSync(logFile, 'utf8')}`);
		return get(`${url}/v1/health`).then((r) => r.status === 200, () => false);
	});
	return { url, pid: child.pid, logFile, stop, peak: memory.stop(),
		walsender: () => Number(pg.psql(`select active_pid from pg_replication_slots where slot_name = '${slot}'`)) };
}

async function nginxStart(dir, files, workers = 'auto') {
	const port = await freePort();
	const home = path.join(dir, 'nginx');
	fs.mkdirSync(home);
	fs.writeFileSync(path.join(home, 'nginx.conf'), `
daemon off;
${isRoot ? 'user root;' : ''}
worker_processes ${workers};
worker_rlimit_nofile 20000;
pid ${home}/pid;
error_log ${home}/error.log;
events { worker_connections 8000; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	tcp_nodelay on;
	keepalive_timeout 600s;
	keepalive_requests 100000000;
	open_file_cache max=1000 inactive=600s;
	open_file_cache_valid 600s;
	types { application/json body; }
	${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${home}/${n};`).join(' ')}
	server { listen 127.0.0.1:${port} backlog=4096; root ${files}; }
}
`);
	const nginx = fs.existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx';
	const child = spawn(nginx, ['-e', `${home}/error.log`, '-p', home, '-c', `${home}/nginx.conf`],
		{ stdio: ['ignore', 'inherit', 'inherit'] });
	endings.push(() => child.kill('SIGTERM'));
	const url = `http://127.0.0.1:${port}`;
	await until('nginx to answer', 10, () => get(url).then(() => true, () => false));
	return { url, stop: () => child.kill('SIGTERM') };
}

/** The yardstick of waiting readers: kill(pid, 'SIGUSR1') answers all that wait. */
async function epollStart() {
	const child = spawn(benchEpoll, ['0', String(os.cpus().length)], { stdio: ['ignore', 'pipe', 'inherit'] });
	endings.push(() => child.kill('SIGKILL'));
	const port = await new Promise((resolve, reject) => {
		child.stdout.once('data', (d) => resolve(Number(d)));
		child.once('exit', () => reject(new Error('bench_epoll ended')));
	});
	return { url: `http://127.0.0.1:${port}`, pid: child.pid, stop: () => child.kill('SIGKILL') };
}

/** Runs what was started backwards to its end. */
function stopAll() {
	while (endings.length) {
		try {
			endings.pop()();
		} catch (error) {
			console.error(String(error));
		}
	}
}

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]])
	process.on(signal, () => { stopAll(); process.exit(code); });

module.exports = { binary, load, benchRegistry, benchRouter, benchEpoll, copyShapes, root, slot, publication, pgBin, run, sync, loadRun, loadStart, get, pause, until, rssAnon,
	rssWatch, workDir, postgresStart, copperStart, nginxStart, epollStart, stopAll };

// storage.cjs: the benchmarks of what is stored: one change in many shapes, checkpoints and sealing beside a load, catching up
// from tail and sealed chunks, the start with a full change log. README.md says what each figure means.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const rig = require('./rig.cjs');

module.exports = ({ options, record, median, fixed, alternate, paired, profiled, cpuSeconds, recvlogical }) => {
	/** A server with a slot of its own; halt() also drops that. */
	async function server({ dir, pg }, name, args = []) {
		const copper = await rig.copperStart(dir, pg, name, { ELECTRIC_REPLICATION_STREAM_ID: name }, args);
		const slot = `electric_slot_${name}`;
		return {
			...copper,
			publication: `electric_publication_${name}`,
			walsender: () => Number(pg.psql(`select active_pid from pg_replication_slots where slot_name = '${slot}'`)),
			storage: path.join(dir, name),
			halt: () => {
				copper.stop();
				pg.psql(`select pg_drop_replication_slot('${slot}') from pg_replication_slots where slot_name = '${slot}'`);
				pg.psql(`drop publication if exists electric_publication_${name}`);
			},
		};
	}

	/** The rig's own server and its walsender take no part. */
	async function apart(ctx, fn) {
		const others = [ctx.copper.walsender(), ctx.copper.pid];
		for (const pid of others) process.kill(pid, 'SIGSTOP');
		try {
			await fn();
		} finally {
			for (const pid of others) process.kill(pid, 'SIGCONT');
		}
	}

	const files = (dir, like) => fs.readdirSync(dir, { recursive: true }).filter((name) => like.test(name)).map((name) => path.join(dir, name));
	const bytesOf = (names) => names.reduce((sum, name) => sum + fs.statSync(name).size, 0);

	/** One change that 10,000 shapes see, each by a clause of its own. */
	async function fanout(ctx) {
		const [shapes, sampled, rounds] = [10000, 100, 50];
		const list = path.join(ctx.dir, 'fan.paths');
		const where = (n) => `where=n%20%3E%20-${n}`;
		fs.writeFileSync(list, Array.from({ length: shapes }, (_, i) => `/v1/shape?table=fan&offset=-1&${where(i + 1)}`).join('\n') + '\n');
		ctx.pg.bulk(`create table fan (id int primary key, n int not null, note text); insert into fan values (1, 0, 'a note');
			create table fan_one (id int primary key, n int not null, note text); insert into fan_one values (1, 0, 'a note');`);
		await apart(ctx, async () => {
			const copper = await server(ctx, 'fan', ['--checkpoint-interval', '10m']);
			try {
				await rig.loadRun('fetch', copper.url, 'fan_one');
				await rig.loadRun('get', copper.url, `@${list}`, '--each', '--readers', 50);
				const grown = [];
				const cpu = [];
				const write = async (table, ...args) => {
					const log = path.join(copper.storage, 'log');
					const before = bytesOf(files(log, /\.seg$/));
					const used = cpuSeconds(copper.pid);
					const res = await rig.loadRun('wait', copper.url, table, '--db', 'dbname=postgres', '--readers', sampled, '--settle', 20,
						'--rounds', rounds, '--write', `update ${table} set n = n + 1 where id = 1`, ...args);
					const changes = rounds + 3;
					grown.push((bytesOf(files(log, /\.seg$/)) - before) / changes);
					cpu.push((cpuSeconds(copper.pid) - used) * 1000 / changes);
					return res.round_last_ms.median;
				};
				const res = await profiled(copper, 'fanout', () => alternate(
					() => write('fan', '--query', where('{}'), '--spread', shapes / sampled), () => write('fan_one')));
				const [many, one] = [median(grown.filter((n) => n > 10000)), median(grown.filter((n) => n <= 10000))];
				console.log(`    change log per change: ${many.toFixed(0)} bytes with ${shapes} shapes, ${one.toFixed(0)} with one; ` +
					`${fixed(Math.max(...cpu))} ms of processor time per change at most`);
				record(`one change to ${shapes.toLocaleString('en')} shapes: commit to the last of ${sampled} of them`, res.ours, res.yardstick,
					'ms', res.ours, ' ms', '<=', 5);
				record('... change log per shape, besides the item', (many - one) / shapes, null, 'bytes', (many - one) / shapes, ' bytes', '<=', 16);
			} finally {
				copper.halt();
			}
		});
	}

	/** A backlog of `rows` updates in transactions of 5,000, drained by pg_recvlogical and by each server alone, in turns. */
	async function drainOnce({ pg }, servers, rows, round) {
		const name = `bench_seal_${round}`;
		const marker = `marker-${round}-end`;
		const mark = (text) => {
			const at = pg.psql('select pg_current_wal_insert_lsn()');
			pg.psql(`update sustained set note = '${text}' where id = 0`);
			return at;
		};
		pg.psql('checkpoint');
		pg.psql(`select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
		const follows = [];
		for (const copper of servers) {
			const follow = rig.loadStart('drain', copper.url, 'sustained', '--marker', marker, '--cont', copper.walsender(), '--limit', 200);
			await follow.next();
			follows.push(follow);
		}
		const stopped = servers.map((copper) => copper.walsender());
		for (const pid of stopped) process.kill(pid, 'SIGSTOP');
		const res = { ours: [], yardstick: 0 };
		try {
			pg.bulk(Array.from({ length: rows / 5000 }, (_, i) =>
				`update sustained set n = n + 1 where id between ${i % 4 * 5000 + 1} and ${i % 4 * 5000 + 5000};`).join('\n'));
			const endpos = mark(marker);
			const steps = [async () => { res.yardstick = await recvlogical(pg, name, endpos, servers[0].publication); }];
			follows.forEach((follow, i) => steps.push(async () => {
				follow.say('go');
				const drained = await follow.next();
				if (drained.items !== rows + 1) throw new Error(`${drained.items} items were readable, not ${rows + 1}`);
				res.ours[i] = drained.seconds * 1000;
			}));
			for (let i = 0; i < steps.length; i++) await steps[(i + round) % steps.length]();
		} finally {
			for (const pid of stopped) process.kill(pid, 'SIGCONT');
		}
		pg.psql(`select pg_drop_replication_slot('${name}')`);
		return res;
	}

	/** Checkpoints, sealing and compaction beside a load. */
	async function sealing(ctx) {
		const { pg } = ctx;
		const rows = 300000;
		pg.bulk(`create table sustained (id int primary key, name text not null, n int not null, note text);
			insert into sustained select i, 'name of the row ' || i, 0, '' from generate_series(0, 20000) i;`);
		await apart(ctx, async () => {
			const servers = [];
			try {
				servers.push(await server(ctx, 'often'), await server(ctx, 'never', ['--checkpoint-interval', '10m']));
				const runs = [];
				for (let i = 0; i <= options.repeat; i++) {
					const run = await drainOnce(ctx, servers, rows, i);
					if (i) runs.push(run); // the first one warms
				}
				const plain = paired(runs.map((r) => ({ ours: r.ours[1], yardstick: r.yardstick })));
				console.log(`    without checkpoints ${fixed(plain.ratio)} times pg_recvlogical`);
				const res = paired(runs.map((r) => ({ ours: r.ours[0], yardstick: r.ours[1] })));
				record(`drain of ${rows.toLocaleString('en')} changes with checkpoints`, res.ours, res.yardstick, 'ms', res.ratio, 'x', '<=', 1.1);
			} finally {
				while (servers.length) servers.pop().halt();
			}
			let runs = 0;
			const live = async (...args) => {
				const copper = await server(ctx, `live${++runs}`, args);
				try {
					await rig.loadRun('fetch', copper.url, 'sustained');
					await rig.loadRun('fetch', copper.url, 'pulse');
					const load = rig.run(['psql', '-qX', '-c', 'set synchronous_commit = off', '-c', `do $$ begin for i in 1..700 loop
						update sustained set n = n + 1 where id between i % 100 * 200 and i % 100 * 200 + 199; commit;
						perform pg_sleep(0.01); end loop; end $$`], { env: pg.env });
					const res = await rig.loadRun('wait', copper.url, 'pulse', '--db', 'dbname=postgres', '--rounds', 400, '--settle', 10,
						'--write', 'update pulse set n = n + 1 where id = 1');
					await load;
					const sealed = files(path.join(copper.storage, 'shapes'), /log\.\d+$/).length;
					console.log(`    ${args.length ? 'sealing' : 'without'}: median ${fixed(res.sent_ms.median)} ms, p99 ${fixed(res.sent_ms.p99)}; ${sealed} sealed files at the end`);
					return res.sent_ms.p99 - res.sent_ms.median;
				} finally {
					copper.halt();
				}
			};
			const res = await alternate(() => live('--change-log-max', '2MiB', '--shape-chunk-bytes-threshold', '256KiB', '--checkpoint-interval', '100ms'),
				() => live());
			record('p99 over median of a live reader while logs are sealed and compacted', res.ours, res.yardstick, 'ms', res.ours, ' ms', '<=', 5);
		});
	}

	/** Reads of a log that is already there: from the tail, and from sealed chunks. One HTTP thread. */
	async function catchup(ctx) {
		const { pg, dir } = ctx;
		pg.bulk('create table catch (id int primary key, name text not null, note text)');
		const rows = (from, to) => pg.bulk(`insert into catch select i, 'name of the row ' || i, repeat('x', 100) from generate_series(${from}, ${to}) i`);
		await apart(ctx, async () => {
			const copper = await server(ctx, 'catch', ['--threads', '1']);
			const root = path.join(dir, 'caught');
			try {
				const ask = async (at) => {
					const res = await rig.get(`${copper.url}/v1/shape?table=catch&${at}`);
					if (res.status !== 200) throw new Error(`${res.status} ${res.body}`);
					return res;
				};
				const next = ({ headers }) => `handle=${headers['electric-handle']}&offset=${headers['electric-offset']}`;
				const start = next(await ask('offset=-1'));
				const walk = async () => {
					const answers = [{ at: start, res: await ask(start) }];
					while (!('electric-up-to-date' in answers.at(-1).res.headers)) {
						const at = next(answers.at(-1).res);
						answers.push({ at, res: await ask(at) });
					}
					return answers;
				};
				const arrived = (n) => rig.until('the rows to arrive', 60, async () => {
					const answers = await walk();
					return answers.reduce((sum, { res }) => sum + res.body.split('"operation":"insert"').length - 1, 0) === n && answers;
				});
				rows(1, 30000);
				const [tail] = await arrived(30000);
				if (files(path.join(copper.storage, 'shapes'), /log\.\d+$/).length) throw new Error('the tail is sealed already');
				const asked = 100;
				const rates = [];
				for (let i = 0; i < options.repeat; i++) {
					await profiled(copper, 'catchup-tail', async () => {
						const before = cpuSeconds(copper.pid);
						const res = await rig.loadRun('get', copper.url, `/v1/shape?table=catch&${tail.at}`, '--requests', asked);
						rates.push({ core: res.body_bytes / 1e6 / (cpuSeconds(copper.pid) - before), wall: res.mb_per_s });
					});
				}
				const core = median(rates.map((r) => r.core));
				console.log(`    a tail of ${(tail.res.body.length / 1048576).toFixed(1)} MiB: ${rates.map((r) => fixed(r.core)).join(' ')} MB per second of ` +
					`processor time; ${rates.map((r) => fixed(r.wall)).join(' ')} MB/s`);
				record('a tail just under its sealing size, per core', core, null, 'MB/s', core, ' MB/s', '>=', 500);

				rows(30001, 150000);
				await rig.until('chunks to be sealed', 30, () => files(path.join(copper.storage, 'shapes'), /log\.\d+$/).length >= 3);
				const answers = (await arrived(150000)).slice(0, 3);
				fs.mkdirSync(root);
				answers.forEach(({ res }, i) => fs.writeFileSync(path.join(root, `${i}.body`), res.body));
				const nginx = await rig.nginxStart(dir, root, 1);
				const rate = async (url, paths) => (await rig.loadRun('get', url, ...paths, '--requests', paths.length * 60)).mb_per_s;
				const res = await profiled(copper, 'catchup-sealed', () => alternate(
					() => rate(copper.url, answers.map(({ at }) => `/v1/shape?table=catch&${at}`)),
					() => rate(nginx.url, answers.map((_, i) => `/${i}.body`))));
				record('sealed chunks, one thread', res.ours, res.yardstick, 'MB/s', res.ratio, 'x', '>=', 0.9);
				nginx.stop();
			} finally {
				copper.halt();
			}
		});
	}

	/** The start with a full change log and many stored shapes, each with a small sealed piece of its log. BENCH_STORED=… */
	async function recovery(ctx) {
		const { pg, dir } = ctx;
		const counts = (process.env.BENCH_STORED || '100000,1000000').split(',').map(Number);
		const [constant, fillers] = [10000000, 64];
		pg.bulk(`create table stored (id int primary key, k int not null, note text); insert into stored values (1, ${constant}, 'a note');
			create table filler (id int primary key, g int not null, note text not null, n int not null);
			insert into filler select i, i % ${fillers}, repeat('x', 100), 0 from generate_series(1, 20000) i;`);
		await apart(ctx, async () => {
			let copper = await server(ctx, 'recovery');
			const where = (column, n) => `where=${column}%20%3D%20${n}`;
			const log = path.join(copper.storage, 'log');
			try {
				await rig.loadRun('fetch', copper.url, 'stored', '--query', where('k', constant));
				for (let g = 0; g < fillers; g++) await rig.loadRun('fetch', copper.url, 'filler', '--query', where('g', g));
				const full = () => bytesOf(files(log, /\.seg$/));
				for (let i = 0; full() < 230 * 1048576 && i < 60; i++) {
					pg.bulk(`update filler set n = n + 1, note = repeat('${'xy'[i % 2]}', 100)`);
					const lsn = pg.psql('select pg_current_wal_lsn()');
					await rig.until('the rows to be stored', 60, () => pg.psql(`select confirmed_flush_lsn >= '${lsn}'::pg_lsn
						from pg_replication_slots where slot_name = 'electric_slot_recovery'`) === 't');
				}
				copper.stop();
				let stored = 0;
				for (const count of counts) {
					await rig.run([rig.copyShapes, copper.storage, String(count - stored), String(constant + stored), 'sealed']);
					stored = count;
					const runs = [];
					for (let i = 0; i < options.repeat; i++) {
						const begin = process.hrtime.bigint();
						copper = { ...copper, ...await server(ctx, 'recovery') };
						const ms = Number(process.hrtime.bigint() - begin) / 1e6;
						const cpu = cpuSeconds(copper.pid) * 1000;
						const bytes = full();
						await rig.loadRun('fetch', copper.url, 'stored', '--query', where('k', constant + count));
						await rig.pause(3000);
						runs.push({ ms, cpu, bytes, peak: copper.peak / 1048576, rest: rig.rssAnon(copper.pid) / 1048576 });
						copper.stop();
					}
					const of = (name) => median(runs.map((r) => r[name]));
					console.log(`    ${count.toLocaleString('en')} shapes, a change log of ${fixed(of('bytes') / 1048576)} MiB: ${runs.map((r) => fixed(r.ms)).join(' ')} ms, ` +
						`${fixed(of('cpu'))} ms of processor time; RssAnon ${fixed(of('peak'))} MiB at its peak, ${fixed(of('rest'))} at rest`);
					record(`start with ${count.toLocaleString('en')} shapes and a full change log`, of('ms'), of('cpu'), 'ms', of('ms'), ' ms', '<=', count / 200 < 1000 ? 1000 : count / 200);
				}
			} finally {
				copper.halt();
			}
		});
	}

	return { fanout, sealing, catchup, recovery };
};

// Snapshots that are small enough for the metadata are served like those in files: at once, after a restart, after a
// kill -9; and a damaged one goes, like a lost file.
import assert from "node:assert/strict"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { follow, rowsBecome, startBoth, waitFor } from "./support.mjs"

const limit = 16 * 1024
const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE notes (id int PRIMARY KEY, note text NOT NULL);
    INSERT INTO notes SELECT i, 'marked-' || i || repeat('n', 40) FROM generate_series(1, 500) i;
    CREATE TABLE sized (id int PRIMARY KEY, note text NOT NULL);
    INSERT INTO sized SELECT i, repeat('s', ${limit - 700} + i * 12) FROM generate_series(1, 60) i;`,
})

const directories = () => readdirSync(join(copper.storageDir, "shapes")).length
const first = (params, options) =>
  copper.get({ offset: "-1", ...params }, { headers: { "accept-encoding": "identity" }, ...options })
// What of an answer is the same however often it is asked for.
const lasting = ({ status, headers, text }) => {
  const { date, "x-request-id": id, ...rest } = headers
  return { status, headers: rest, text }
}
const rowsOf = (answer) => answer.body.filter(({ key }) => key).map(({ value }) => value)

const questions = [
  { table: "notes", where: "id = 7" }, // small
  { table: "notes", where: "id = -1" }, // empty
  { table: "notes", where: "id <= 3", columns: "id" },
  { table: "notes" }, // large
]

async function askAll() {
  const answers = []
  for (const question of questions) answers.push(lasting(await first(question)))
  return answers
}

// A snapshot is recorded after it has been given out: a crash before that rotates its shape, which is another story.
const recorded = async () => {
  await copper.stop()
  await copper.start()
}

test("small and large ones look the same to a client, and only large ones have a directory", async () => {
  const [small, empty, some, large] = await askAll()
  assert.equal(directories(), 1)
  const names = (answer) => Object.keys(answer.headers).sort()
  for (const answer of [small, empty, some, large]) {
    assert.equal(answer.status, 200)
    assert.deepEqual(names(answer), names(large))
    assert.equal(Number(answer.headers["content-length"]), Buffer.byteLength(answer.text))
    assert.equal(JSON.parse(answer.text).at(-1).headers.control, "snapshot-end")
    assert.equal(answer.headers["electric-offset"], "0_0")
  }
  assert.deepEqual(rowsOf(await first(questions[0])), [{ id: "7", note: "marked-7" + "n".repeat(40) }])
  assert.deepEqual(rowsOf(await first(questions[1])), [])
  assert.equal(rowsOf(await first(questions[3])).length, 500)
  for (const question of questions) {
    const answer = await first(question)
    const again = await first(question, { headers: { "if-none-match": answer.headers.etag } })
    assert.equal(again.status, 304)
    assert.equal(again.text, "")
    const head = await first(question, { method: "HEAD" })
    assert.equal(head.status, 200)
    assert.equal(head.headers["content-length"], answer.headers["content-length"])
    assert.equal(head.text, "")
  }
})

test("every size around the limit is served whole, from memory, from the metadata and from files", async () => {
  const ask = async (i) => {
    const answer = await first({ table: "sized", where: `id = ${i}` })
    assert.equal(answer.status, 200)
    assert.deepEqual(rowsOf(answer), [{ id: String(i), note: "s".repeat(limit - 700 + i * 12) }])
    return answer.text
  }
  const before = directories()
  const all = Array.from({ length: 60 }, (_, i) => i + 1)
  const texts = await Promise.all(all.map(ask))
  const files = directories() - before
  assert.equal(files, texts.filter((text) => Buffer.byteLength(text) - 2 > limit).length)
  assert.ok(files > 0 && files < 60, `${files} of 60 in files`)
  assert.deepEqual(await Promise.all(all.map(ask)), texts)
  await recorded()
  assert.deepEqual(await Promise.all(all.map(ask)), texts)
})

test("they are the same bytes under the same handles after a restart and after kill -9", async () => {
  const before = await askAll()
  await recorded()
  assert.deepEqual(await askAll(), before)
  await copper.kill()
  await copper.start()
  assert.deepEqual(await askAll(), before)

  const view = follow(copper, questions[0])
  await rowsBecome(view, cluster, "SELECT * FROM notes WHERE id = 7")
  await sql("UPDATE notes SET note = 'changed' WHERE id = 7")
  await rowsBecome(view, cluster, "SELECT * FROM notes WHERE id = 7")
  assert.equal(view.handle(), before[0].headers["electric-handle"])
  assert.equal(view.rotations, 0)
  view.close()
})

test("kill -9 while many are made: each is whole under its old handle, or made anew", async () => {
  for (let round = 0; round < 3; round++) {
    const asked = Array.from({ length: 100 }, (_, i) => 100 * round + i + 100)
    let answered = 0
    const answers = asked.map((id) => first({ table: "notes", where: `id = ${id}` }).then(() => (answered += 1), () => {}))
    await waitFor(() => answered > 20)
    await copper.kill()
    await Promise.all(answers)
    await copper.start()
    for (const id of asked) {
      const answer = await first({ table: "notes", where: `id = ${id}` })
      assert.deepEqual(rowsOf(answer).map((row) => row.id), id <= 500 ? [String(id)] : [])
    }
  }
})

test("one that is not what was stored goes: 409, and the next request has a new one", async () => {
  const question = { table: "notes", where: "id = 99" }
  const before = await first(question)
  const handle = before.headers["electric-handle"]
  await copper.stop() // folds SQLite's write-ahead file into the other one
  const path = join(copper.storageDir, "metadata.sqlite3")
  const bytes = readFileSync(path)
  const at = bytes.indexOf("marked-99")
  assert.ok(at > 0)
  bytes[at] ^= 1
  writeFileSync(path, bytes)
  await copper.start()
  const damaged = await first(question)
  assert.equal(damaged.status, 409)
  assert.equal(damaged.body[0].headers.control, "must-refetch")
  const anew = await first(question)
  assert.equal(anew.status, 200)
  assert.notEqual(anew.headers["electric-handle"], handle)
  assert.deepEqual(rowsOf(anew), rowsOf(before))
  assert.match(copper.log, /a small chunk is not what was stored/)
})

// Our answers against those recorded from Electric 1.6.2 (recorded.json), field by field. Handles, LSNs, transaction
// ids, cursors and the unique part of an etag differ from run to run: each recorded one must correspond to one of ours,
// always the same. Date, request id and the framing of the body are left out.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import http from "node:http"
import { test } from "node:test"
import { startBoth, waitFor } from "./support.mjs"

const recorded = JSON.parse(readFileSync(new URL("recorded.json", import.meta.url), "utf8"))
const { cluster, copper, sql } = await startBoth({ schema: recorded.schema })

const theirsToOurs = new Map()

// The variable words of a text: handles, LSNs of 5 digits and more, transaction ids (3 digits, in JSON numbers and
// strings), cursors. Text between them is compared as it is.
const words = /\d+-\d{10,}|-?\d{5,}/g

function corresponds(theirs, ours, where) {
  const template = (text) => text.replace(words, "…")
  assert.equal(template(ours), template(theirs), where)
  const ourWords = ours.match(words) ?? []
  for (const [i, word] of (theirs.match(words) ?? []).entries()) {
    const known = theirsToOurs.get(word)
    if (known !== undefined) {
      assert.equal(ourWords[i], known, `${where}: ${word} was ${known} before`)
    } else {
      assert.ok(![...theirsToOurs.values()].includes(ourWords[i]), `${where}: ${ourWords[i]} stands for something else`)
      theirsToOurs.set(word, ourWords[i])
    }
  }
}

function compareBody(theirs, ours, where) {
  if (Array.isArray(theirs)) {
    assert.ok(Array.isArray(ours), where)
    assert.equal(ours.length, theirs.length, `${where}: number of elements`)
    theirs.forEach((each, i) => compareBody(each, ours[i], `${where}[${i}]`))
  } else if (theirs && typeof theirs === "object") {
    assert.deepEqual(Object.keys(ours).sort(), Object.keys(theirs).sort(), `${where}: fields`)
    for (const field of Object.keys(theirs)) {
      if (["txids", "xmin", "xmax", "xip_list"].includes(field)) {
        assert.equal(Array.isArray(ours[field]), Array.isArray(theirs[field]), `${where}.${field}`)
        assert.equal(typeof [ours[field]].flat()[0], typeof [theirs[field]].flat()[0], `${where}.${field}`)
      } else if (field === "global_last_seen_lsn" && theirsToOurs.size < 2) {
        assert.match(ours[field], /^\d+$/, `${where}.${field}`) // the stack's position before any change of the table
      } else {
        compareBody(theirs[field], ours[field], `${where}.${field}`)
      }
    }
  } else if (typeof theirs === "string") {
    assert.equal(typeof ours, "string", where)
    corresponds(theirs, ours, where)
  } else {
    assert.equal(ours, theirs, where)
  }
}

// fetch() hides or changes some headers; node:http shows them as they are.
function request({ method, path, headers }) {
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: "127.0.0.1", port: copper.port, method, path, headers, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (piece) => (text += piece))
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }))
      response.on("error", reject)
    })
    sent.on("error", reject)
    sent.end()
  })
}

const cursors = new Map() // kept apart: two of theirs may be one of ours
const asOurs = (text) => text.replace(words, (word) => theirsToOurs.get(word) ?? cursors.get(word) ?? word)

for (const step of recorded.steps) {
  test(`${step.number}. ${step.name}`, async () => {
    const ask = {
      method: step.request.method,
      path: asOurs(step.request.path),
      headers: Object.fromEntries(Object.entries(step.request.headers ?? {}).map(([name, value]) => [name, asOurs(value)])),
    }
    if (step.before) await sql(step.before)
    let pending = request(ask)
    if (step.during) {
      // The change is made while the request waits (or just before it: the answer is the same).
      await sql(step.during)
    }
    let answer = await pending
    if (step.before) {
      // Until the change has arrived. A 409 may come a moment before there is a new handle to name.
      const arrived = ({ status, headers }) =>
        status === step.status && ("electric-handle" in headers || !("electric-handle" in step.headers))
      await waitFor(async () => arrived(answer) || ((answer = await request(ask)), null), { what: step.before })
    }

    assert.equal(answer.status, step.status, answer.text)
    for (const [name, value] of Object.entries(step.headers)) {
      const ours = answer.headers[name]
      assert.notEqual(ours, undefined, `header ${name} is missing`)
      if (name === "electric-cursor") {
        assert.match(ours, /^\d+$/)
        // A multiple of the long-poll time, or what the request had plus something, so that it always moves on.
        const asked = ask.path.match(/cursor=(\d+)/)?.[1]
        assert.ok(Number(ours) % 20 === 0 || (asked && Number(ours) > Number(asked)), `cursor ${ours} after ${asked}`)
        cursors.set(value, ours)
      } else if (name === "electric-schema") {
        assert.deepEqual(JSON.parse(ours), JSON.parse(value))
      } else if (name === "etag") {
        const bare = (text) => text.replace(/:-?\d{9,}"$/, ':unique"')
        corresponds(bare(value), bare(ours), "etag")
      } else if (name === "access-control-expose-headers") {
        for (const each of value.split(",")) assert.ok(ours.split(/, ?/).includes(each), `${each} is exposed`)
      } else if (name === "access-control-allow-methods") {
        for (const each of value.split(", ")) assert.ok(ours.split(/, ?/).includes(each), `${each} is allowed`)
      } else {
        corresponds(value, ours, `header ${name}`)
      }
    }
    if (typeof step.body === "string") {
      assert.equal(answer.text, step.body)
    } else {
      compareBody(step.body, JSON.parse(answer.text), "body")
    }
  })
}

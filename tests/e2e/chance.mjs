// chance.mjs: what tests of random load share: repeatable decisions, and a client that looks at every message.
import { follow } from "./support.mjs"

// mulberry32: each user of chance has its own, so that one's timing does not change another's decisions.
export function chance(start) {
  let state = start >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296
  }
  return { below: (n) => Math.floor(next() * n), likely: (p) => next() < p, pick: (list) => list[Math.floor(next() * list.length)] }
}

// Every message is looked at once, in the order in which the client got it: positions only grow while the handle stays, a
// row is inserted when it was not there and changed or deleted when it was.
export function watch(copper, params, query) {
  const view = follow(copper, params)
  const faults = []
  let last = [-1n, -1]
  let keys = new Set()
  view.stream.subscribe((messages) => {
    for (const { key, headers } of messages) {
      if (headers.control === "must-refetch") {
        last = [-1n, -1]
        keys = new Set()
      }
      if (!headers.operation) continue
      const at = `${headers.operation} of ${key} at ${headers.lsn}_${headers.op_position}, handle ${view.handle()}`
      if (headers.lsn !== undefined) {
        const next = [BigInt(headers.lsn), headers.op_position]
        if (next[0] < last[0] || (next[0] === last[0] && next[1] <= last[1])) faults.push(`${at}: after ${last.join("_")}`)
        last = next
      }
      if (keys.has(key) === (headers.operation === "insert")) faults.push(`${at}: the row was ${keys.has(key) ? "" : "not "}there`)
      if (headers.operation === "delete") keys.delete(key)
      else keys.add(key)
    }
  }, () => {})
  return Object.assign(view, { params, query, faults })
}

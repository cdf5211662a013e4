// shape_model.mjs: what is known of a shape's log from all that anyone has read of it, and what every further answer must
// agree with. Inserts and deletes never change, come or go. Updates may be merged into a later update of their key, or left
// out before its deletion (src/shape/compact.h): whoever reads a range ends with the same row all the same. Except at a boundary
// inside what was compacted (cu_sealed_boundary() in src/shape/shape_log.h): what was left out before it may come behind it. So
// who has read to a boundary is judged together with each answer that goes on from there.
import { createHash } from "node:crypto"

// "-1", "0_3", "0_inf", "26673336_4" as [tx, op]. The positions of these tests are below 2^53.
export function parseOffset(text) {
  if (text === "-1") return [-1, 0]
  const [, tx, op] = /^(\d+)_(\d+|inf)$/.exec(text) ?? []
  if (tx === undefined) throw new Error(`no offset: ${text}`)
  return [Number(tx), op === "inf" ? Infinity : Number(op)]
}
export const compareOffsets = (a, b) => a[0] - b[0] || (a[1] === b[1] ? 0 : a[1] - b[1])
const boundaryOps = 2 ** 40 // CU_OP_BOUNDARY
export const isBoundary = ([, op]) => op >= boundaryOps && op !== Infinity
const textOf = ([tx, op]) => (tx === -1 ? "-1" : `${tx}_${op === Infinity ? "inf" : op}`)

// Large values by their hash.
export const brief = (text) =>
  text !== null && text.length > 80 ? `${text.length}:${createHash("sha1").update(text).digest("base64")}` : text
export const briefRow = (row) => Object.fromEntries(Object.entries(row).map(([name, text]) => [name, brief(text)]))

export function itemOf(message) {
  const { operation: kind, lsn, op_position: op, ...headers } = message.headers
  const { value, key } = message
  const old = message.old_value && briefRow(message.old_value)
  const at = lsn === undefined ? null : [Number(lsn), op]
  const fixed = JSON.stringify([kind, lsn, op, key, headers])
  return { at, kind, key, fixed, value: briefRow(value), old, text: JSON.stringify([fixed, briefRow(value), old]) }
}

const names = (row) => Object.keys(row)

export class ShapeLog {
  constructor(handle) {
    this.handle = handle
    this.pieces = new Map() // of the snapshot: asked → { answered, text }
    this.items = [] // in order; { at, kind, key, fixed, text, narrow, wide }
    this.byKey = new Map()
    this.frontier = [0, Infinity] // all up to here is known, or an update and known to be superseded; no boundary
    this.claims = [] // [where an up-to-date stood, its LSN]
    this.later = [] // observations beyond the frontier
    this.boundaries = new Map() // boundary → the last few ways to get there: { asked, items }
    this.merged = 0
  }

  #after(at, list = this.items) {
    let low = 0
    let high = list.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareOffsets(list[middle].at, at) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }

  snapshotPiece(asked, answered, messages) {
    const text = JSON.stringify(messages.map((message) => (message.value ? itemOf(message).text : message)))
    const known = this.pieces.get(asked)
    if (!known) this.pieces.set(asked, { answered, text: brief(text) })
    else if (known.answered !== answered || known.text !== brief(text)) {
      return [`snapshot piece after ${asked} is another one than before (to ${known.answered}, now ${answered})`]
    }
    return []
  }

  // An answer: the items after `asked` up to `answered`. Returns what is wrong with it.
  observe(asked, answered, items) {
    const faults = []
    let last = asked
    for (const item of items) {
      if (isBoundary(item.at)) faults.push(`item ${textOf(item.at)} at a boundary`)
      if (compareOffsets(item.at, last) <= 0) faults.push(`item ${textOf(item.at)} after ${textOf(last)}`)
      last = item.at
    }
    const behind = isBoundary(answered) && answered[0] === last[0]
    if (items.length > 0 && compareOffsets(last, answered) !== 0 && !behind) {
      faults.push(`the answer ends at ${textOf(last)} and says ${textOf(answered)}`)
    }
    for (const item of items) this.#add(item, faults)
    const ways = this.boundaries.get(textOf(asked)) ?? []
    const ranges = [{ asked, answered, items }, ...ways.map((way) => ({ asked: way.asked, answered, items: [...way.items, ...items] }))]
    if (isBoundary(answered)) {
      const to = textOf(answered)
      this.boundaries.set(to, [...(this.boundaries.get(to) ?? []), ...ranges].slice(-4))
    }
    this.later.push(...ranges)
    this.#judge(faults)
    return faults
  }

  #judge(faults) {
    for (let moved = true; moved;) {
      moved = false
      this.later = this.later.filter((seen) => {
        if (compareOffsets(seen.asked, this.frontier) > 0) return true
        if (!isBoundary(seen.answered) && compareOffsets(seen.answered, this.frontier) > 0) this.frontier = seen.answered
        this.#judgeRange(seen, faults)
        moved = true
        return false
      })
    }
  }

  #add(item, faults) {
    const at = this.#after(item.at)
    const known = at > 0 && compareOffsets(this.items[at - 1].at, item.at) === 0 ? this.items[at - 1] : null
    if (known) {
      this.#compare(known, item, faults)
      return
    }
    if (compareOffsets(item.at, this.frontier) <= 0) {
      if (item.kind !== "update") faults.push(`${item.kind} at ${textOf(item.at)} was not there when the log was read before`)
      else if (!(this.byKey.get(item.key) ?? []).some((other) => compareOffsets(other.at, item.at) > 0)) {
        faults.push(`update at ${textOf(item.at)} was not there before, and nothing behind it is of its key`)
      }
    }
    for (const [stood, lsn] of this.claims) {
      if (compareOffsets(item.at, stood) > 0 && item.at[0] <= lsn) {
        faults.push(`item ${textOf(item.at)} after an up-to-date at ${textOf(stood)} that said ${lsn}`)
      }
    }
    const entry = { ...item, narrow: item.value, wide: item.value }
    this.items.splice(at, 0, entry)
    const ofKey = this.byKey.get(item.key) ?? []
    ofKey.splice(this.#after(item.at, ofKey), 0, entry)
    this.byKey.set(item.key, ofKey)
  }

  #compare(known, item, faults) {
    if (known.text === item.text) return
    const at = `item ${textOf(item.at)}`
    if (known.fixed !== item.fixed) faults.push(`${at} was ${known.fixed}, is ${item.fixed}`)
    else if (item.kind !== "update") faults.push(`${at} (${item.kind}) changed: ${known.text.slice(0, 300)}, now ${item.text.slice(0, 300)}`)
    else {
      const all = { ...known.wide, ...item.value }
      for (const name of names(item.value)) {
        if (name in known.wide && known.wide[name] !== item.value[name]) faults.push(`${at}: ${name} changed`)
      }
      if (names(all).length !== Math.max(names(known.wide).length, names(item.value).length)) {
        faults.push(`${at}: neither version of the update has all of the other's columns`)
      }
      this.merged += 1
      known.wide = all
      known.narrow = names(item.value).length < names(known.narrow).length ? item.value : known.narrow
    }
  }

  // Does who reads these items end where the log says?
  #judgeRange({ asked, answered, items }, faults) {
    const told = new Map()
    for (const item of items) told.set(item.key, [...(told.get(item.key) ?? []), item])
    const from = this.#after(asked)
    const to = this.#after(answered)
    const there = new Map()
    for (const item of this.items.slice(from, to)) there.set(item.key, [...(there.get(item.key) ?? []), item])
    for (const key of new Set([...told.keys(), ...there.keys()])) {
      const fault = this.#judgeKey(key, told.get(key) ?? [], there.get(key) ?? [], answered)
      if (fault) faults.push(`${fault} (${key}, from ${textOf(asked)} to ${textOf(answered)})`)
    }
  }

  #judgeKey(key, told, there, answered) {
    const solid = (list) => list.filter(({ kind }) => kind !== "update").map(({ fixed }) => fixed).join()
    if (solid(told) !== solid(there)) return `inserts and deletes ${solid(told)}, where ${solid(there)} are known`
    const lastSolid = there.findLastIndex(({ kind }) => kind !== "update")
    const end = lastSolid >= 0 ? there[lastSolid] : null
    const updates = end ? told.slice(told.findLastIndex(({ kind }) => kind !== "update") + 1) : told
    if (end?.kind === "delete") return updates.length ? "an update behind the deletion" : null
    if (isBoundary(answered)) return null
    const row = Object.assign({}, ...updates.map(({ value }) => value))
    // What must have been told: each column that an update in the range names.
    for (const { narrow } of there.slice(lastSolid + 1)) {
      for (const name of names(narrow)) {
        if (!(name in row)) return `column ${name} was changed, and is not told`
      }
    }
    const now = {}
    for (const item of this.byKey.get(key)) {
      if (compareOffsets(item.at, answered) > 0) break
      Object.assign(now, item.wide)
    }
    for (const name of names(row)) {
      if (row[name] !== now[name]) return `column ${name} ends as ${row[name]}, not ${now[name]}`
    }
    return null
  }

  // "Up to date at `stood`, up to the LSN": nothing behind it may be of a transaction at or below.
  claim(stood, lsn) {
    if (isBoundary(stood)) return [`up-to-date at the boundary ${textOf(stood)}`]
    const next = this.items[this.#after(stood)]
    this.claims = [...this.claims.slice(-100), [stood, lsn]]
    return next && next.at[0] <= lsn ? [`up-to-date at ${textOf(stood)} says ${lsn}; item ${textOf(next.at)} is behind it`] : []
  }

  // Any item's place is a place to read on from, and each boundary that was given out.
  someOffset(rng) {
    if (this.boundaries.size > 0 && rng.likely(0.2)) return rng.pick([...this.boundaries.keys()])
    return this.items.length ? textOf(rng.pick(this.items).at) : "0_inf"
  }
}

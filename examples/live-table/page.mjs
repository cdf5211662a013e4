// The table `items` in the browser. The official client does the work: ShapeStream reads the log, Shape folds it into
// rows. We draw, and count what the stream brings after the first complete state.
import { Shape, ShapeStream } from "./client.mjs"

const element = (id) => document.getElementById(id)
const drawn = new Map() // key of a row in the shape → { tr, cells, text }
let changes = 0
let complete = false

const { url } = await (await fetch("config.json")).json()
const stream = new ShapeStream({ url: `${url}/v1/shape`, params: { table: "items" }, onError: failed })
const shape = new Shape(stream)

function failed(error) {
  element("dot").className = ""
  element("error").hidden = false
  element("error").textContent = `No connection to ${url}: ${error.message}`
  return {} // try again
}

// Postgres' text form, "2026-01-31 12:00:00.123456+00", as milliseconds.
function timeOf(text) {
  return Date.parse(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"))
}

stream.subscribe((messages) => {
  const now = Date.now()
  let newest = 0
  for (const { headers, value } of messages) {
    if (headers.control === "must-refetch") complete = false
    if (!headers.operation || !complete) continue
    changes += 1
    if (value.updated_at) newest = Math.max(newest, timeOf(value.updated_at))
  }
  element("changes").textContent = changes.toLocaleString("en")
  if (newest > 0) element("latency").textContent = `${Math.max(0, now - newest)} ms`
  if (messages.some(({ headers }) => headers.control === "up-to-date")) complete = true
})

shape.subscribe(({ value }) => {
  const body = element("body")
  const first = drawn.size === 0
  for (const [key, row] of drawn) {
    if (!value.has(key)) {
      row.tr.remove()
      drawn.delete(key)
    }
  }
  for (const [key, item] of value) {
    const text = [item.id, item.title, item.qty, item.price, item.updated_at.slice(11, 23)].map(String)
    let row = drawn.get(key)
    if (!row) {
      row = { tr: document.createElement("tr"), text: [] }
      row.cells = text.map((_, i) => {
        const cell = row.tr.insertCell()
        if (i === 0 || i === 2 || i === 3) cell.className = "n"
        return cell
      })
      if (!first) flash(row.tr, "added")
      // Newest rows on top.
      const below = [...body.rows].find((tr) => Number(tr.cells[0].textContent) < item.id)
      body.insertBefore(row.tr, below ?? null)
      drawn.set(key, row)
    } else if (row.text.some((old, i) => old !== text[i])) {
      flash(row.tr, "changed")
    }
    text.forEach((now, i) => {
      if (row.text[i] !== now) row.cells[i].textContent = now
    })
    row.text = text
  }
  element("rows").textContent = value.size.toLocaleString("en")
  element("dot").className = "live"
  element("dot").title = "live"
  element("error").hidden = true
})

function flash(tr, name) {
  tr.classList.remove("changed", "added")
  void tr.offsetWidth // restarts the animation
  tr.classList.add(name)
}

// examples/live-table in headless Chromium. UPDATE_SCREENSHOT=1 also writes docs/live-table.png.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { after, test } from "node:test"
import { chromium } from "playwright-core"
import { checkout, patience, startBoth, tempDir, waitFor } from "./support.mjs"

const { copper, sql } = await startBoth({ schema: readFileSync(join(checkout, "examples/live-table/items.sql"), "utf8") })

const server = spawn(process.execPath, [join(checkout, "examples/live-table/server.mjs"), copper.url, "0"], {
  stdio: ["ignore", "pipe", "inherit"],
})
after(() => server.kill())
let printed = ""
server.stdout.on("data", (text) => (printed += text))

test("the page shows the rows, follows changes, counts them and shows the latency", async () => {
  const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium"
  assert.ok(existsSync(browserPath), `${browserPath} is missing: scripts/install test`)
  const page_url = await waitFor(() => printed.match(/listening on (\S+)/)?.[1], { what: "the page's server listens" })
  const context = await chromium.launchPersistentContext(tempDir("chromium"), {
    executablePath: browserPath,
    headless: true,
    viewport: { width: 960, height: 640 },
    timeout: patience,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  })
  after(() => context.close())
  context.setDefaultTimeout(patience)
  const page = context.pages()[0] ?? (await context.newPage())
  const problems = []
  page.on("pageerror", (error) => problems.push(String(error)))
  const heard = []
  page.on("console", (message) => heard.push(message.text()))
  page.on("crash", () => heard.push("the page crashed"))
  page.on("request", (request) => heard.push(request.url()))
  page.on("requestfailed", (request) => heard.push(`${request.url()}: ${request.failure()?.errorText}`))
  await page.goto(page_url)

  const text = (selector) => page.locator(selector).innerText()
  await waitFor(async () => {
    assert.equal(await page.locator("#body tr").count(), 300, [...problems, ...heard].join("\n"))
    return true
  }, { what: "300 rows are drawn" })
  assert.equal(await text("#rows"), "300")
  assert.equal(await text("#changes"), "0")

  // The document is shown to have changed without a reload: an update, an insert, a delete.
  await sql("UPDATE items SET title = 'seen in the browser', qty = 4711, updated_at = clock_timestamp() WHERE id = 300")
  await page.locator("#body tr.changed", { hasText: "seen in the browser" }).waitFor()
  await sql("INSERT INTO items (id, title, qty, price) VALUES (1000, 'a new row', 1, 1.50)")
  await page.locator("#body tr.added", { hasText: "a new row" }).waitFor()
  await sql("DELETE FROM items WHERE id = 299")
  await waitFor(async () => (await text("#changes")) === "3", { what: "three changes are counted" })
  assert.equal(await text("#rows"), "300")
  assert.match(await text("#latency"), /^\d+ ms$/)

  // Copper itself is another origin than the page: a subset by POST, as the client sends it, needs a preflight.
  const subset = await page.evaluate(async (url) => {
    const response = await fetch(`${url}?table=items&offset=-1&log=changes_only`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ where: "id = 1000" }),
    })
    return { handle: response.headers.get("electric-handle"), ids: (await response.json()).data.map(({ value }) => value.id) }
  }, copper.shapeUrl)
  assert.deepEqual(subset.ids, ["1000"])
  assert.match(subset.handle, /^\d+-\d+$/)

  // The writes of `make run`, which may delete any row.
  for (let i = 0; i < 12; i++) await sql("SELECT demo.tick()")
  await waitFor(async () => Number((await text("#changes")).replaceAll(",", "")) >= 15, { what: "the counter rises" })
  const [{ rows }] = await sql("SELECT count(*) AS rows FROM items")
  await waitFor(async () => (await text("#rows")) === rows, { what: "the page's rows are the table's" })

  assert.deepEqual(problems, [])
  if (process.env.UPDATE_SCREENSHOT) {
    await sql("SELECT demo.tick()")
    await page.screenshot({ path: join(checkout, "docs/live-table.png") })
  }
})

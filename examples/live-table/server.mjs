// Serves the page of this folder and the official client's browser build. The data does not pass through here: the
// page asks Copper directly.
//   node server.mjs COPPER_URL [PORT]     a taken port is skipped, up to 20 further; 0 is any free port
import { createServer } from "node:http"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"

const copperUrl = process.argv[2] ?? "http://127.0.0.1:3000"
const firstPort = Number(process.argv[3] ?? 3001)

const files = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/page.mjs": ["page.mjs", "text/javascript; charset=utf-8"],
  "/page.css": ["page.css", "text/css; charset=utf-8"],
  "/client.mjs": ["node_modules/@electric-sql/client/dist/index.browser.mjs", "text/javascript; charset=utf-8"],
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://page").pathname
  const answer = (status, type, body) =>
    response.writeHead(status, { "content-type": type, "cache-control": "no-cache" }).end(body)
  if (path === "/config.json") {
    answer(200, "application/json", JSON.stringify({ url: copperUrl }))
  } else if (Object.hasOwn(files, path)) {
    const [file, type] = files[path]
    try {
      answer(200, type, await readFile(fileURLToPath(new URL(file, import.meta.url))))
    } catch (error) {
      answer(500, "text/plain", `${error.message}\nWas npm ci run in examples/live-table?\n`)
    }
  } else {
    answer(404, "text/plain", "Not found\n")
  }
})

let port = firstPort
server.on("error", (error) => {
  if (error.code !== "EADDRINUSE" || port >= firstPort + 20) throw error
  server.listen(++port, "127.0.0.1")
})
server.on("listening", () => console.log(`listening on http://127.0.0.1:${server.address().port}/`))
server.listen(port, "127.0.0.1")

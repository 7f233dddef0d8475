/** Stands for any service: serves `/readyz`, and writes down its start, its order to stop and its end. */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename } from 'node:path'

const { PORT, DATA_DIR = '', JOURNAL = '', CRASHING } = process.env
const name = basename(DATA_DIR)
const note = (what: string) => appendFileSync(JOURNAL, `${name} ${what}\n`)

note('started')
if (CRASHING === name) {
  console.log('CRASHING is set')
  process.exit(3)
}
const server = createServer((_request, response) => response.end(JSON.stringify(process.env)))
server.listen(Number(PORT), '127.0.0.1')
process.once('SIGTERM', () => {
  note('stopping')
  // Long enough that a wrong order of stopping shows.
  setTimeout(() => {
    note('stopped')
    process.exit(0)
  }, 60)
})

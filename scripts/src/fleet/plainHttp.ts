import { type ChildProcess, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

/** The same bytes as a plain HTTP server has them: one Node process, the file in memory. */
export interface PlainServer {
  url: string
  stop(): void
}

export async function startPlainServer(bytes: number): Promise<PlainServer> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [String(bytes)])
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve(String(message)))
    child.once('exit', (code) => reject(new Error(`the plain server ended with ${code}`)))
  })
  return { url, stop: () => void child.kill() }
}

/** How long `count` clients take that fetch it at once and check it in blocks of this size, milliseconds. */
export async function fetchPlain(url: string, count: number, blockSize: number): Promise<number> {
  const begun = performance.now()
  await Promise.all(Array.from({ length: count }, () => fetchOne(url, blockSize)))
  return performance.now() - begun
}

function fetchOne(url: string, blockSize: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent: false }, (response) => {
      let hash = createHash('sha256')
      let left = blockSize
      response.on('data', (chunk: Buffer) => {
        let rest = chunk
        while (rest.length >= left) {
          hash.update(rest.subarray(0, left)).digest()
          rest = rest.subarray(left)
          hash = createHash('sha256')
          left = blockSize
        }
        hash.update(rest)
        left -= rest.length
      })
      response.on('end', resolve)
      response.on('error', reject)
    })
    asked.on('error', reject)
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const body = Buffer.alloc(Number(process.argv[2]), 'fleetgate')
  const server = createServer((_, response) => response.end(body))
  server.listen(0, '127.0.0.1', () => process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  process.once('disconnect', () => process.exit(0))
}

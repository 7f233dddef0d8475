import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { natsBinary, selfSignedFiles, temporaryFolder } from '@fleetgate/testkit'
import type { Test } from './support.js'

export interface Asked {
  method: string
  path: string
  range: string
  agent: string
}

/** What becomes of requests for archives: `half` breaks off in the middle of what is left, `whole` knows of no ranges. */
export type Manner = 'good' | 'half' | 'whole' | 'other'

const processor = process.arch === 'arm64' ? 'arm64' : 'amd64'
/** Of the program that the tests have. */
export const ownVersion = '2.12.5'

/**
 * Releases of nats-server in the form of the real ones, served at an address that hosts reach: of any version that is as long as our
 * own program's, which says it is that one. By https, as `localhost`, only this machine and who comes through `proxy` reach it.
 */
export async function startReleaseServer(t: Test, address: string) {
  const dir = temporaryFolder(t)
  const program = readFileSync(natsBinary())
  const archives = new Map<string, Buffer>()
  const asked: Asked[] = []
  const tunnels: string[] = []
  let manner: Manner = 'good'
  let halves = 0

  function archiveOf(version: string): Buffer {
    const known = archives.get(version)
    if (known) return known
    const name = `nats-server-v${version}-linux-${processor}`
    mkdirSync(join(dir, name))
    const text = program.toString('latin1').replaceAll(ownVersion, version)
    writeFileSync(join(dir, name, 'nats-server'), text, { encoding: 'latin1', mode: 0o755 })
    execFileSync('tar', ['-I', 'gzip -1', '-cf', `${name}.tar.gz`, name], { cwd: dir })
    const archive = readFileSync(join(dir, `${name}.tar.gz`))
    archives.set(version, archive)
    return archive
  }

  function answer({ method = '', url: path = '', headers }: IncomingMessage, response: ServerResponse): void {
    const range = headers.range ?? ''
    asked.push({ method, path, range, agent: headers['user-agent'] ?? '' })
    const [, version = '', file] = /^\/v([0-9.]+)\/(.+)$/.exec(path) ?? []
    if (!archives.has(version)) return void response.writeHead(404).end()
    if (file === 'SHA256SUMS') return void response.end(sumsFile())
    const whole = archiveOf(version)
    const content = manner === 'other' ? Buffer.from(whole).fill(0, 1000, 1100) : whole
    const from = manner === 'whole' ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1] ?? 0)
    const rest = content.subarray(from)
    const partial = from > 0 && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': rest.length, ...partial })
    if (method === 'HEAD') return void response.end()
    if (manner !== 'half' || halves === 0) return void response.end(rest)
    halves -= 1
    response.write(rest.subarray(0, rest.length / 2), () => response.destroy())
  }

  const sumOf = (version: string) => createHash('sha256').update(archiveOf(version)).digest('hex')
  function sumsFile(): string {
    const lines = [...archives.keys()].map((one) => `${sumOf(one)}  nats-server-v${one}-linux-${processor}.tar.gz\n`)
    return [`${'0'.repeat(64)}  nats-server-v2.12.5-windows-amd64.zip\n`, ...lines].join('')
  }

  const { certFile, keyFile } = selfSignedFiles(dir)
  const secure = createSecureServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, answer)
  const plain = createServer(answer)
  // The proxy of the hosts: they know this machine's localhost by it.
  plain.on('connect', ({ url = '' }, socket) => {
    tunnels.push(url)
    const onward = connect(Number(url.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    for (const one of [onward, socket]) one.on('error', () => onward.destroy() && socket.destroy())
  })
  await Promise.all([
    new Promise<void>((resolve) => plain.listen(0, address, resolve)),
    new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
  ])
  t.teardown(() => {
    for (const server of [plain, secure]) {
      server.closeAllConnections()
      server.close()
    }
  })
  const [port, securePort] = [plain, secure].map((server) => (server.address() as AddressInfo).port)
  const pattern = 'v{version}/nats-server-v{version}-linux-{arch}.tar.gz'

  return {
    url: `http://${address}:${port}/${pattern}`,
    secureUrl: `https://localhost:${securePort}/${pattern}`,
    proxy: `http://${address}:${port}`,
    certFile,
    asked,
    tunnels,
    /** Makes a release; answers the setting with its checksum. */
    release: (version: string) => `${processor}=${sumOf(version)}`,
    /** From now on; `half` for so many requests, and good after them. */
    be(next: Manner, times = Number.POSITIVE_INFINITY): void {
      manner = next
      halves = times
    }
  }
}

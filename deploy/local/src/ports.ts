import { createServer } from 'node:net'

/**
 * Below the range that systems hand to outgoing connections: a port found free there cannot be taken by some client
 * socket before its server binds it.
 */
const lowest = 20_000
const highest = 32_000
const tries = 200
const handedOut = new Set<number>()

/** True when a server could listen there now. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}

/** A port that is free and was not handed out before by this process. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < tries; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    if (handedOut.has(port) || !(await isPortFree(port, host))) continue
    handedOut.add(port)
    return port
  }
  throw new Error(`found no free port between ${lowest} and ${highest}`)
}

/** The port that a setting names, or nothing where it is not set. */
export function portFrom(env: NodeJS.ProcessEnv, variable: string): number | undefined {
  const text = env[variable]
  if (!text) return undefined
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw new Error(`${variable} is no port number: ${text}`)
  return port
}

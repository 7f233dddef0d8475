import { setTimeout as delay } from 'node:timers/promises'
import { answers } from './part.js'

interface Outside {
  variable: string
  /** What it names, for people. */
  part: string
  schemes: string[]
  port: number
}

const outside: Outside[] = [
  { variable: 'MONGODB_URI', part: 'MongoDB', schemes: ['mongodb:', 'mongodb+srv:'], port: 27017 },
  { variable: 'NATS_URL', part: 'NATS', schemes: ['nats:', 'tls:'], port: 4222 }
]
const embeddedInstead = 'or leave it out for the embedded one'

/**
 * Waits until the parts that the environment brings from outside accept connections: services would wait for them for a minute, and
 * then only say that they are not ready. Throws an Error with the variable, the address and what to do. What a name in DNS stands
 * for (`mongodb+srv`) is left to the driver.
 */
export async function checkOutsideParts(env: NodeJS.ProcessEnv, { waitMs = 10_000 } = {}): Promise<void> {
  for (const { variable, part, schemes, port } of outside) {
    const value = env[variable]
    if (!value) continue
    const places = placesOf(value, schemes, port)
    if (!places)
      throw new Error(`${variable} is no address of ${part}: give ${schemes[0]}//host:${port}, ${embeddedInstead}`)
    const end = Date.now() + waitMs
    while (places.length > 0 && !(await anyAnswers(places))) {
      const where = places.map(({ host, port: at }) => `${host}:${at}`).join(', ')
      if (Date.now() > end)
        throw new Error(`${part} does not answer at ${where}: start it, or correct ${variable}, ${embeddedInstead}`)
      await delay(200)
    }
  }
}

interface Place {
  host: string
  port: number
}

/** Of several hosts one is enough; undefined where it is no such address at all. Who logs in there is nobody's business. */
function placesOf(value: string, schemes: readonly string[], defaultPort: number): Place[] | undefined {
  const places: Place[] = []
  for (const one of split(value, schemes)) {
    const url = URL.canParse(one) ? new URL(one) : undefined
    if (!url || !schemes.includes(url.protocol) || url.hostname === '') return undefined
    if (url.protocol === 'mongodb+srv:') return []
    const host = decodeURIComponent(url.hostname)
    // A socket of this machine.
    if (host.startsWith('/')) return []
    places.push({ host: host.replace(/^\[|\]$/g, ''), port: Number(url.port || defaultPort) })
  }
  return places
}

/** `mongodb://user:pw@a:1,b:2/db` is one address with several hosts; NATS takes several addresses. */
function split(value: string, schemes: readonly string[]): string[] {
  const [, scheme = '', rest = ''] = /^([a-z+]+:\/\/)(.*)$/.exec(value) ?? []
  if (scheme === '') return [value]
  return rest
    .slice(rest.lastIndexOf('@') + 1)
    .replace(/[/?].*$/, schemes.includes('mongodb:') ? '' : '$&')
    .split(',')
    .map((one) => (one.includes('://') ? one : `${scheme}${one}`))
}

async function anyAnswers(places: readonly Place[]): Promise<boolean> {
  const looks = await Promise.all(places.map((place) => answers(place)))
  return looks.includes(true)
}

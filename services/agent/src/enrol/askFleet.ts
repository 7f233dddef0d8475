import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { compile, oneOf, roles, type Static, Type } from '@fleetgate/contracts/fleet'

const Admission = Type.Object({
  mqttUrl: Type.String({ minLength: 1 }),
  username: Type.String(),
  password: Type.String(),
  clientId: Type.String({ minLength: 1 }),
  role: oneOf(roles),
  caPem: Type.Optional(Type.String())
})
export type Admission = Static<typeof Admission>

const checkAdmission = compile(Admission)

export interface FleetQuestion {
  url: string
  ca?: Buffer | undefined
  body: { token: string; clientId: string; role?: string | undefined }
  /** How long to go on asking while the fleet is away or asks for patience. */
  waitMs: number
  say(line: string): void
}

interface Answer {
  status: number
  text: string
  retryAfter: number
}

const withinMs = 15_000
const pauseMs = 2000

/** `POST /v1/clients/enrol`. Asking twice is as good as once: the fleet answers the same. */
export async function askFleet({ url, ca, body, waitMs, say }: FleetQuestion): Promise<Admission> {
  // By a clock that nobody sets: a machine that enrols is one whose time is being put right.
  const end = performance.now() + waitMs
  for (;;) {
    const answer = await post(new URL('/v1/clients/enrol', url), JSON.stringify(body), ca).catch(
      (error: Error) => error
    )
    const isLate = performance.now() >= end
    if (!(answer instanceof Error)) {
      if (answer.status === 200) return admissionOf(url, answer.text)
      if (isLate || (answer.status !== 429 && answer.status < 500)) throw new Error(reasonOf(answer))
    } else if (isLate) throw new Error(`${url} cannot be reached: ${answer.message}`, { cause: answer })
    const pause = answer instanceof Error ? pauseMs : Math.max(pauseMs, answer.retryAfter * 1000)
    say(`${answer instanceof Error ? answer.message : reasonOf(answer)}; asking again`)
    await delay(Math.min(pause, Math.max(0, end - performance.now())))
  }
}

/** A page to log in at, of the network in between, is an answer with status 200 too. */
function admissionOf(url: string, text: string): Admission {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch (cause) {
    throw new Error(`what answers at ${url} is not the fleet: its answer is no JSON`, { cause })
  }
  return checkAdmission(answer)
}

function reasonOf({ status, text }: Answer): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return `the fleet refuses (HTTP ${status}): ${message}`
  } catch {
    // Not ours: a proxy in between, for example.
  }
  return `the fleet answers HTTP ${status}`
}

function post(url: URL, body: string, ca: Buffer | undefined): Promise<Answer> {
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers, timeout: withinMs, agent: false as const, ...(ca && { ca }) }
    const asked = request(url, options, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.once('error', reject)
      answer.once('end', () => {
        const retryAfter = Number(answer.headers['retry-after']) || 0
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString(), retryAfter })
      })
    })
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${withinMs / 1000} s`)))
    asked.once('error', reject)
    asked.end(body)
  })
}

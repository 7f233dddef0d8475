import { generateKeyPairSync } from 'node:crypto'
import { type App, type AppOptions, type Caller, createApp, createGuard, type Guard, signToken } from '../src/index.js'

export interface LogLine {
  level: string
  fields: Record<string, unknown>
  message: string
}

export function memoryLog() {
  const lines: LogLine[] = []
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message })
  }
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export function newKey(kid: string) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid, pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(), privateKey }
}

export type TestKey = ReturnType<typeof newKey>

export const someCaller: Caller = {
  userId: 'u1',
  tenantId: 'default',
  email: 'a@example.org',
  nickname: 'Ann',
  isSuperAdmin: false,
  codes: new Set(['device.view']),
  version: 3
}

export function tokenFor(key: TestKey, fields: Partial<Caller> = {}, options: { now?: number; seconds?: number } = {}) {
  return signToken(
    { ...someCaller, ...fields },
    {
      key: key.privateKey,
      kid: key.kid,
      lifetimeSeconds: options.seconds ?? 600,
      ...(options.now && { now: options.now })
    }
  )
}

export function guardWith(key: TestKey): Promise<Guard> {
  const { kid, pem } = key
  return createGuard({ log: memoryLog(), keys: async () => [{ kid, pem }] })
}

interface Teardown {
  teardown(fn: () => unknown): void
}

export interface Running {
  app: App
  url: string
  lines: LogLine[]
}

export async function startApp(t: Teardown, options: Partial<AppOptions>): Promise<Running> {
  const log = memoryLog()
  const app = createApp({ service: 'test', log, apis: [], checkReplies: true, closeLimitMs: 2000, ...options })
  const { url, close } = await app.listen()
  t.teardown(close)
  return { app, url, lines: log.lines }
}

export async function until<T>(read: () => T | undefined, what: string, deadlineMs = 5000): Promise<T> {
  const end = Date.now() + deadlineMs
  for (;;) {
    const value = read()
    if (value !== undefined && value !== false) return value
    if (Date.now() > end) throw new Error(`waited too long for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export interface Answered {
  status: number
  headers: { get(name: string): string | null; has(name: string): boolean }
  text: string
  body: Record<string, unknown>
}

export async function post(
  url: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {}
): Promise<Answered> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: body as string
  })
  return answerOf(response)
}

export async function get(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answered> {
  return answerOf(await fetch(url, { method, headers }))
}

async function answerOf(response: Response): Promise<Answered> {
  const text = await response.text()
  let body: unknown = text
  try {
    body = JSON.parse(text)
  } catch {
    // Some answers are text or empty on purpose.
  }
  return { status: response.status, headers: response.headers, text, body: body as Record<string, unknown> }
}

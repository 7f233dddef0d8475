import { signedOut, tokenNow } from './session/session.js'

/** A refusal in whichever form the dialect of its path has. */
export class ApiError extends Error {
  override name = 'ApiError'
  constructor(
    readonly status: number,
    message: string,
    /** The field of the request that is to blame, where the answer names one. */
    readonly field?: string
  ) {
    super(message)
  }
}

export interface Asked {
  method?: string
  body?: unknown
  /** The bytes of a file. */
  file?: Blob
  signal?: AbortSignal
}

interface Refusal {
  message?: string
  field?: string
  error_message?: string
  detail_message?: string
  error?: { message?: string }
  code?: number | string
}

/**
 * Asks the gateway in the name of who is signed in and answers the JSON as it comes. Rejects with ApiError, also where EMQ's
 * dialect answers 200 with a code.
 */
export async function ask<T>(path: string, asked: Asked = {}): Promise<T> {
  const response = await send(path, asked)
  const text = await response.text()
  const answer = parsed(text)
  if (response.status === 401 && tokenNow()) signedOut()
  if (!response.ok) throw refusalOf(response.status, answer)
  if (typeof answer?.code === 'number' && answer.code !== 0) throw refusalOf(response.status, answer)
  return answer as T
}

/** The response itself, for downloads and for headers. Rejects with ApiError where nothing answers. */
export async function send(path: string, { method = 'GET', body, file, signal }: Asked = {}): Promise<Response> {
  const headers = new Headers()
  const token = tokenNow()
  if (token) headers.set('authorization', `Bearer ${token}`)
  if (body !== undefined) headers.set('content-type', 'application/json')
  if (file) headers.set('content-type', 'application/octet-stream')
  const content = file ?? (body === undefined ? undefined : JSON.stringify(body))
  const init: RequestInit = { method, headers, cache: 'no-store' }
  if (content !== undefined) init.body = content
  if (signal) init.signal = signal
  try {
    return await fetch(path, init)
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, 'the gateway does not answer')
  }
}

function parsed(text: string): Refusal | undefined {
  if (text === '') return undefined
  try {
    return JSON.parse(text) as Refusal
  } catch {
    return { message: text.slice(0, 200) }
  }
}

function refusalOf(status: number, answer: Refusal | undefined): ApiError {
  const { message, error_message, detail_message, error, field } = answer ?? {}
  const said = message ?? detail_message ?? error_message ?? error?.message
  return new ApiError(status, said ?? `refused with status ${status}`, field)
}

/** `{data}` of the Beaver and the Linker dialect. */
export async function askData<T>(path: string, asked?: Asked): Promise<T> {
  return (await ask<{ data: T }>(path, asked)).data
}

/** A query string with a leading `?`; what is empty or undefined is left out. */
export function query(fields: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '')
  return given.length === 0 ? '' : `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}`
}

import { AppError } from '@fleetgate/contracts'
import type { EmqxSettings } from './settings.js'

export interface Rest {
  /** The JSON of a success, or nothing for an empty one. Rejects with AppError. */
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<unknown>
}

const maxSaid = 200

/**
 * EMQX's REST API v5 with an API key. `not_found`: 404; `invalid_input`: other refusals of ours; `unavailable`: it is away, in
 * trouble (5xx, 429) or does not take our key; `timeout`: no whole answer in time.
 */
export function createRest(settings: Pick<EmqxSettings, 'url' | 'apiKey' | 'apiSecret' | 'timeoutMs'>): Rest {
  const { url, apiKey, apiSecret, timeoutMs } = settings
  const authorization = `Basic ${Buffer.from(`${apiKey}:${apiSecret}`).toString('base64')}`

  async function exchange(method: string, path: string, body: object | undefined): Promise<[Response, string]> {
    // From 5.8.0 a body without its content type is refused with 415.
    const headers = { authorization, accept: 'application/json', ...(body && { 'content-type': 'application/json' }) }
    const text = body && JSON.stringify(body)
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(`${url}${path}`, { method, headers, signal, ...(text && { body: text }) })
      return [response, await response.text()]
    } catch (cause) {
      if (signal.aborted) throw new AppError('timeout', `EMQX did not answer within ${timeoutMs} ms`, {}, { cause })
      throw new AppError('unavailable', 'EMQX cannot be reached', {}, { cause })
    }
  }

  return {
    async call(method, path, body) {
      const [response, text] = await exchange(method, path, body)
      if (!response.ok) throw refusalOf(response.status, text)
      if (text === '') return undefined
      try {
        return JSON.parse(text)
      } catch (cause) {
        throw new AppError('unavailable', 'EMQX answered something that is not JSON', {}, { cause })
      }
    }
  }
}

function refusalOf(status: number, text: string): AppError {
  const said = saidIn(text)
  if (status === 401 || status === 403) {
    return new AppError('unavailable', `EMQX refuses our API key (${status}${said})`, { status })
  }
  if (status === 404) return new AppError('not_found', `EMQX does not know it${said}`, { status })
  if (status === 429 || status >= 500) {
    return new AppError('unavailable', `EMQX is in trouble (${status}${said})`, { status })
  }
  return new AppError('invalid_input', `EMQX refuses the request (${status}${said})`, { status })
}

/** `{code, message}` in the code of EMQX, `{code, reason}` in its documentation. */
function saidIn(text: string): string {
  try {
    const { code, message, reason } = JSON.parse(text) as Record<string, unknown>
    const said = [code, message ?? reason].filter((part) => typeof part === 'string').join(': ')
    return said === '' ? '' : `, ${said.slice(0, maxSaid)}`
  } catch {
    return ''
  }
}

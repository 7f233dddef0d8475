import type { Http, HttpAnswer } from '@fleetgate/kit/outbound'
import jwt from 'jsonwebtoken'
import { sleep } from '../backoff.js'
import { type Call, CloudProblem, retryAfter } from '../driver.js'
import { type Ask, answered, type Body, parsed, unanswered } from '../jsonApi.js'
import type { ServiceAccount } from './settings.js'

export interface GoogleUrls {
  /** Of the Compute Engine API, without a slash at its end. */
  compute: string
  token: string
}

export interface GoogleClient {
  /** One request below `projects/<project>/`, or at the path of another project; throws a CloudProblem. */
  ask(path: string, call: Call, ask?: Ask): Promise<{ status: number; body: Body }>
  /** Every item of a list, over all its pages. */
  all<T>(path: string, filter: string, call: Call): Promise<T[]>
  /** Starts something and waits until Google is done with it; 409 counts as there, 404 as gone. */
  change(path: string, call: Call, ask: Ask): Promise<void>
}

interface Operation {
  name: string
  status: string
  zone?: string
  error?: { errors?: { code?: string; message?: string }[] }
  httpErrorStatusCode?: number
}

const scope = 'https://www.googleapis.com/auth/compute'
const lifetimeS = 3600
/** Before a token ends it is renewed. */
const marginMs = 60_000
const firstPollMs = 100
const longestPollMs = 2_000
const maxPages = 200
/** Whoever asks again finds what has come of it meanwhile. */
const longestChangeMs = 300_000

export interface GoogleClientOptions {
  account: ServiceAccount
  project: string
  urls: GoogleUrls
  http: Http
  now: () => number
}

/** The REST form of Compute Engine, with a service account's own signature for a token (RFC 7523). */
export function createGoogleClient({ account, project, urls, http, now }: GoogleClientOptions): GoogleClient {
  let token: { value: string; until: number } | undefined

  async function send(call: Call, request: Omit<Parameters<Http>[0], 'signal'>): Promise<HttpAnswer> {
    try {
      return await http({ ...request, signal: call.signal })
    } catch (cause) {
      call.signal.throwIfAborted()
      throw unanswered('Google Cloud', cause)
    }
  }

  async function login(call: Call): Promise<string> {
    if (token && token.until > now()) return token.value
    const iat = Math.floor(now() / 1000)
    const claims = { iss: account.email, scope, aud: 'https://oauth2.googleapis.com/token', iat, exp: iat + lifetimeS }
    const assertion = jwt.sign(claims, account.key, {
      algorithm: 'RS256',
      ...(account.keyId ? { keyid: account.keyId } : {})
    })
    const body = new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion })
    const answer = await send(call, {
      method: 'POST',
      url: urls.token,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: body.toString()
    })
    const { access_token, expires_in, error_description } = parsed(answer)
    if (answer.status === 400 || answer.status === 401) {
      const reason = typeof error_description === 'string' ? `: ${error_description.slice(0, 200)}` : ''
      throw new CloudProblem('credentials', `Google Cloud refuses the service account's key${reason}`)
    }
    if (answer.status >= 300) throw problemOf(answer, now())
    const value = String(access_token)
    token = { value, until: now() + Number(expires_in ?? lifetimeS) * 1000 - marginMs }
    return value
  }

  function ask(path: string, call: Call, { method = 'GET', body, allow }: Ask = {}) {
    const place = path.startsWith('projects/') ? path : `projects/${encodeURIComponent(project)}/${path}`
    return answered({
      send: async () =>
        send(call, {
          method,
          url: `${urls.compute}/${place}`,
          headers: {
            authorization: `Bearer ${await login(call)}`,
            'content-type': 'application/json',
            accept: 'application/json'
          },
          body: body === undefined ? undefined : JSON.stringify(body)
        }),
      forget: () => {
        token = undefined
      },
      allow,
      problemOf: (answer) => problemOf(answer, now())
    })
  }

  return {
    ask,

    async all<T>(path: string, filter: string, call: Call): Promise<T[]> {
      const items: T[] = []
      let page = ''
      for (let count = 0; count < maxPages; count++) {
        const query = new URLSearchParams({ filter, ...(page ? { pageToken: page } : {}) })
        const { body } = await ask(`${path}?${query}`, call)
        items.push(...((body.items ?? []) as T[]))
        page = String(body.nextPageToken ?? '')
        if (page === '') break
      }
      return items
    },

    async change(path, call, options) {
      const { status, body } = await ask(path, call, { ...options, allow: options.method === 'DELETE' ? [404] : [409] })
      if (status >= 300) return
      let operation = body as unknown as Operation
      // `…/zones/<zone>/operations/<name>` or `…/global/operations/<name>`: beside what was changed.
      const place = path
        .split('/')
        .slice(0, path.startsWith('global/') ? 1 : 2)
        .join('/')
      const until = now() + longestChangeMs
      for (let pause = firstPollMs; operation.status !== 'DONE'; pause = Math.min(2 * pause, longestPollMs)) {
        if (now() > until) throw new CloudProblem('unavailable', 'Google Cloud does not come to an end with a change')
        await sleep(pause, call.signal)
        const answer = await ask(`${place}/operations/${encodeURIComponent(operation.name)}`, call)
        operation = answer.body as unknown as Operation
      }
      const [error] = operation.error?.errors ?? []
      // Taken at the same time as another of the same name, or for what goes already, it fails only now.
      const isSo = options.method === 'DELETE' ? 'RESOURCE_NOT_FOUND' : 'RESOURCE_ALREADY_EXISTS'
      if (error && error.code !== isSo)
        throw failed(error.code ?? '', error.message ?? '', operation.httpErrorStatusCode ?? 400)
    }
  }
}

/** `{"error": {"code", "message", "errors": [{"reason"}]}}`. */
function problemOf(answer: HttpAnswer, now: number): CloudProblem {
  const { error } = parsed(answer) as { error?: { message?: string; errors?: { reason?: string }[] } }
  const said = typeof error?.message === 'string' ? error.message : `it answered ${answer.status}`
  return failed(error?.errors?.[0]?.reason ?? '', said, answer.status, retryAfter(answer.headers['retry-after'], now))
}

/** Reasons of answers are written `quotaExceeded`, codes of operations `QUOTA_EXCEEDED`. */
function failed(code: string, said: string, status: number, wait?: number): CloudProblem {
  const word = code.replaceAll('_', '').toLowerCase()
  const message = `Google Cloud: ${said.slice(0, 300)}`
  // Of operations at the same time, too many for now; other quotas stay as they are.
  const isBusy = /ratelimit|rateexceeded|^concurrentoperations/.test(word)
  if (isBusy || status === 429) return new CloudProblem('throttled', message, wait)
  if (word.includes('quota')) return new CloudProblem('quota', message)
  if (word.includes('resourcepoolexhausted') || word.includes('stockout')) return new CloudProblem('capacity', message)
  if (status === 401 || status === 403) return new CloudProblem('credentials', message)
  if (word === 'resourceinusebyanotherresource' || word === 'resourcenotready')
    return new CloudProblem('unavailable', message)
  if (status >= 500) return new CloudProblem('unavailable', message, wait)
  return new CloudProblem('invalid', message)
}

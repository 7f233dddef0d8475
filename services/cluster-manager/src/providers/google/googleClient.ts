import { auth, compute_v1 } from '@googleapis/compute'
import { unlessAborted } from '../../unlessAborted.js'
import { sleep } from '../backoff.js'
import { type Call, CloudProblem } from '../driver.js'
import { type Answer, failed, problemOf, unanswered } from './answers.js'
import type { GoogleSettings } from './settings.js'

export interface GoogleUrls {
  /** Where the Compute Engine API is, without its `/compute/v1`. */
  compute: string
  token: string
}

type Operation = compute_v1.Schema$Operation

interface Page<T> {
  items?: T[]
  nextPageToken?: string | null
}

/** One request of the SDK; the options belong to it. */
export type Request<T> = (api: compute_v1.Compute, options: { signal: AbortSignal }) => Promise<Answer<T>>

export interface GoogleClient {
  /** Undefined for an answer of the status `none`; throws a CloudProblem for others that are no success. */
  ask<T>(request: Request<T>, call: Call, none?: number): Promise<T | undefined>
  /** Every item of a list, over all its pages. */
  all<T>(request: (page: string | undefined) => Request<Page<T>>, call: Call): Promise<T[]>
  /** Starts something and waits until Google is done with it; where it is `there`, or `gone`, already that is as good. */
  change(request: Request<Operation>, call: Call, wanted: 'there' | 'gone'): Promise<void>
}

const scope = 'https://www.googleapis.com/auth/compute'
/** Where the SDK logs in, whatever a key says. */
const ownTokenUrl = 'https://oauth2.googleapis.com/token'
const requestMs = 15_000
const firstPollMs = 100
const longestPollMs = 2_000
const maxPages = 200
/** Whoever asks again finds what has come of it meanwhile. */
const longestChangeMs = 300_000

export interface GoogleClientOptions {
  settings: Pick<GoogleSettings, 'account' | 'project' | 'zone'>
  urls: GoogleUrls
  now: () => number
}

/** Compute Engine by Google's SDK. The log-in is the given key and nothing else: no files, variables or metadata servers of this machine are asked for one. */
export function createGoogleClient({ settings, urls, now }: GoogleClientOptions): GoogleClient {
  const { account, project, zone } = settings
  let opened: compute_v1.Compute | undefined

  function open(): compute_v1.Compute {
    const transporterOptions = {
      timeout: requestMs,
      // Trying again is the caller's.
      retryConfig: { retry: 0 },
      // Node's own, to which the proxies of this machine's variables do not matter.
      fetchImplementation: fetch,
      noProxy: [/^/]
    }
    const login = new auth.JWT({ ...account, scopes: [scope], transporterOptions })
    login.transporter.interceptors.request.add({
      async resolved(request) {
        return request.url.href === ownTokenUrl ? { ...request, url: new URL(urls.token) } : request
      }
    })
    return new compute_v1.Compute({
      auth: login,
      rootUrl: urls.compute,
      // Given here, so that a variable of this machine does not count.
      universeDomain: 'googleapis.com',
      responseType: 'json',
      validateStatus: () => true
    })
  }

  async function send<T>(api: compute_v1.Compute, request: Request<T>, { signal }: Call): Promise<Answer<T>> {
    signal.throwIfAborted()
    try {
      // The SDK does not give up a log-in, which others may wait for too.
      return await unlessAborted(request(api, { signal }), signal)
    } catch (error) {
      signal.throwIfAborted()
      throw unanswered(error, now())
    }
  }

  async function ask<T>(request: Request<T>, call: Call, none?: number): Promise<T | undefined> {
    opened ??= open()
    const first = opened
    let answer = await send(first, request, call)
    if (answer.status === 401) {
      // A token may be refused before its time: whoever sees it first logs in anew for all.
      if (opened === first) opened = open()
      answer = await send(opened, request, call)
    }
    if (answer.status < 300) return answer.data
    if (answer.status === none) return undefined
    throw problemOf(answer, now())
  }

  async function ended(operation: Operation, call: Call): Promise<Operation> {
    const named = { project, operation: operation.name ?? '' }
    const until = now() + longestChangeMs
    let current: Operation | undefined = operation
    for (let pause = firstPollMs; current?.status !== 'DONE'; pause = Math.min(2 * pause, longestPollMs)) {
      if (now() > until) throw new CloudProblem('unavailable', 'Google Cloud does not come to an end with a change')
      await sleep(pause, call.signal)
      current = await ask(
        (api, options) =>
          operation.zone
            ? api.zoneOperations.get({ ...named, zone }, options)
            : api.globalOperations.get(named, options),
        call
      )
    }
    return current
  }

  return {
    ask,

    async all(request, call) {
      const items = []
      let page: string | undefined
      for (let count = 0; count < maxPages; count++) {
        const found = await ask(request(page), call)
        items.push(...(found?.items ?? []))
        page = found?.nextPageToken || undefined
        if (!page) break
      }
      return items
    },

    async change(request, call, wanted) {
      const operation = await ask(request, call, wanted === 'gone' ? 404 : 409)
      if (!operation) return
      const { error, httpErrorStatusCode } = await ended(operation, call)
      const [first] = error?.errors ?? []
      // Taken at the same time as another of the same name, or for what goes already, it fails only now.
      const isSo = wanted === 'gone' ? 'RESOURCE_NOT_FOUND' : 'RESOURCE_ALREADY_EXISTS'
      if (first && first.code !== isSo) throw failed(first.code ?? '', first.message ?? '', httpErrorStatusCode ?? 400)
    }
  }
}

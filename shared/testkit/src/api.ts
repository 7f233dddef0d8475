import { type KeyPair, type Signable, signRequest } from './signRequest.js'

/** What came back: `body` is the parsed JSON, undefined where the text is none. */
export interface Reply<T = unknown> {
  status: number
  body: T
  text: string
  headers: Headers
}

export type RawBody = string | Uint8Array<ArrayBuffer> | URLSearchParams | FormData
export type RequestHeaders = Record<string, string>

/** Requests as one caller. Bodies are sent as JSON, except forms, which go as they are. */
export interface Session {
  get<T = unknown>(path: string, headers?: RequestHeaders): Promise<Reply<T>>
  post<T = unknown>(path: string, body?: unknown, headers?: RequestHeaders): Promise<Reply<T>>
  put<T = unknown>(path: string, body?: unknown, headers?: RequestHeaders): Promise<Reply<T>>
  patch<T = unknown>(path: string, body?: unknown, headers?: RequestHeaders): Promise<Reply<T>>
  delete<T = unknown>(path: string, body?: unknown, headers?: RequestHeaders): Promise<Reply<T>>
  /** Any request, its body untouched: for broken JSON and the like. */
  send<T = unknown>(method: string, path: string, body?: RawBody, headers?: RequestHeaders): Promise<Reply<T>>
}

export interface Registration {
  email: string
  nickname: string
  password: string
}

/** A client of the documented routes. Without `as` it carries no token. */
export interface Api extends Session {
  readonly baseUrl: string
  /** The first user of a stack; `firstUser` when not told otherwise. */
  register(user?: Registration): Promise<Reply>
  /** Answers the access token; throws when there is none in the answer. */
  login(email?: string, password?: string): Promise<string>
  /** The same requests with this access token. */
  as(token: string): Session
  /** The same requests with HTTP Basic. */
  asBasic(username: string, password: string): Session
  /** The same requests, each signed with this access key. */
  asKey(key: KeyPair): Session
}

export const firstUser: Registration = { email: 'admin@example.com', nickname: 'admin', password: 'Abcd1234!' }

/** The client that every Beaver installation knows. */
const oauthClient = { client_id: 'iab', client_secret: 'milesight*iab' }

export function createApi(baseUrl: string): Api {
  const open = createSession(baseUrl, {})
  return {
    ...open,
    baseUrl,
    register: (user = firstUser) => open.post('/user/register', user),
    login: (email = firstUser.email, password = firstUser.password) => login(open, email, password),
    as: (token) => createSession(baseUrl, { authorization: `Bearer ${token}` }),
    asBasic: (username, password) => {
      const credentials = Buffer.from(`${username}:${password}`).toString('base64')
      return createSession(baseUrl, { authorization: `Basic ${credentials}` })
    },
    asKey: (key) => createSession(baseUrl, (request) => signRequest(key, request))
  }
}

async function login(session: Session, email: string, password: string): Promise<string> {
  const form = new URLSearchParams({ grant_type: 'password', username: email, password, ...oauthClient })
  const reply = await session.post<{ data?: { access_token?: string } }>('/oauth2/token', form)
  const token = reply.body?.data?.access_token
  if (!token) throw new Error(`no token for ${email}: HTTP ${reply.status} ${reply.text}`)
  return token
}

function createSession(baseUrl: string, own: RequestHeaders | ((request: Signable) => RequestHeaders)): Session {
  const send: Session['send'] = async <T>(method: string, path: string, body?: RawBody, headers?: RequestHeaders) => {
    const signable = () => ({
      method,
      url: new URL(baseUrl + path),
      body: body as string | undefined,
      headers: { ...headers }
    })
    const all = typeof own === 'function' ? own(signable()) : { ...own, ...headers }
    // `null` is fetch's word for "no body".
    const answer = await fetch(baseUrl + path, { method, headers: all, body: body ?? null })
    const text = await answer.text()
    return { status: answer.status, headers: answer.headers, text, body: parse(text) as T }
  }
  const sendJson = <T>(method: string, path: string, body: unknown, headers?: RequestHeaders) => {
    if (body === undefined || isRaw(body)) return send<T>(method, path, body, headers)
    return send<T>(method, path, JSON.stringify(body), { 'content-type': 'application/json', ...headers })
  }
  return {
    send,
    get: (path, headers) => send('GET', path, undefined, headers),
    post: (path, body, headers) => sendJson('POST', path, body, headers),
    put: (path, body, headers) => sendJson('PUT', path, body, headers),
    patch: (path, body, headers) => sendJson('PATCH', path, body, headers),
    delete: (path, body, headers) => sendJson('DELETE', path, body, headers)
  }
}

function isRaw(body: unknown): body is URLSearchParams | FormData | Uint8Array<ArrayBuffer> {
  return body instanceof URLSearchParams || body instanceof FormData || body instanceof Uint8Array
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

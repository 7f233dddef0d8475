import { createApi, type Reply } from '@fleetgate/testkit'
import type { Ground, Load } from './load.js'
import { repeat } from './load.js'

interface Tokens {
  access_token: string
  refresh_token: string
}

const sessions = 3
/** A refresh token may be shown again for 10 s; the answer to the first time may have been lost. */
const graceMs = 8_000
const client = { client_id: 'iab', client_secret: 'milesight*iab' }
const member = { email: 'soak-tokens@example.com', nickname: 'tokens', password: 'Abcd1234!' }

/** Sessions that renew their tokens, again where the answer was lost, and log in anew where they ended. */
export async function startTokens({ url, account, random }: Ground): Promise<Load> {
  const api = createApi(url)
  const made = await account.session.post('/user/members', member)
  if (made.status !== 200) throw new Error(made.text)
  const findings = new Set<string>()
  const counts = { 'log-ins': 0, 'tokens renewed': 0, 'sessions lost after a lost answer': 0 }

  async function grant(fields: Record<string, string>): Promise<Reply<Tokens> | undefined> {
    try {
      return await api.post<Tokens>('/oauth2/token', new URLSearchParams({ ...fields, ...client }))
    } catch {
      return undefined
    }
  }

  const logIn = () => grant({ grant_type: 'password', username: member.email, password: member.password })
  const refresh = (refresh_token: string) => grant({ grant_type: 'refresh_token', refresh_token })

  /** An access token that was just given is good everywhere. */
  async function use({ access_token }: Tokens): Promise<void> {
    const reply = await api
      .as(access_token)
      .get('/user')
      .catch(() => undefined)
    if (reply && reply.status !== 200 && reply.status < 500)
      findings.add(`a fresh token: HTTP ${reply.status} ${reply.text}`)
  }

  function createSession() {
    let tokens: Tokens | undefined
    let firstTriedAt: number | undefined
    return async () => {
      const askedAt = Date.now()
      const reply = tokens ? await refresh(tokens.refresh_token) : await logIn()
      if (reply?.status === 200) {
        counts[tokens ? 'tokens renewed' : 'log-ins'] += 1
        tokens = reply.body
        firstTriedAt = undefined
        return use(tokens)
      }
      if (reply?.status === 429 || (reply && reply.status < 500 && !tokens)) {
        findings.add(`a log-in: HTTP ${reply.status} ${reply.text}`)
      } else if (reply && reply.status < 500) {
        if (firstTriedAt === undefined || askedAt - firstTriedAt < graceMs)
          findings.add(
            `a refresh ${askedAt - (firstTriedAt ?? askedAt)} ms after the first try: HTTP ${reply.status} ${reply.text}`
          )
        else counts['sessions lost after a lost answer'] += 1
        tokens = undefined
        firstTriedAt = undefined
      } else if (reply && ![502, 503, 504].includes(reply.status)) {
        findings.add(`a token: HTTP ${reply.status} ${reply.text}`)
      } else firstTriedAt ??= askedAt
    }
  }

  const loops = Array.from({ length: sessions }, () => repeat(createSession(), () => random.between(300, 3_000)))
  return {
    counts: () => ({ ...counts }),
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()))
    },
    async faults() {
      const reply = await logIn()
      const again = reply?.status === 200 ? await refresh(reply.body.refresh_token) : reply
      return [
        ...findings,
        ...(again?.status === 200 ? [] : [`a log-in at the end: HTTP ${again?.status} ${again?.text}`])
      ]
    }
  }
}

import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError, oneOf, type Route, raw, route, type Static, Type } from '@fleetgate/kit'
import type { SigningKeys } from '../keys/signingKeys.js'
import type { Asker, Issued, Tokens } from './tokens.js'

const Text = Type.Optional(Type.String({ maxLength: 1024 }))

/** All optional here: a missing field is one of the grant's own refusals (401), not a broken request. */
const TokenRequest = Type.Object({
  grant_type: Text,
  client_id: Text,
  client_secret: Text,
  username: Type.Optional(Type.String({ maxLength: 320 })),
  password: Text,
  refresh_token: Text
})
type TokenRequest = Static<typeof TokenRequest>

const Fields = {
  access_token: Type.String(),
  refresh_token: Type.String(),
  token_type: Type.String(),
  expires_in: Type.Integer()
}
const TokenReply = Type.Object({
  ...Fields,
  data: Type.Object(Fields),
  status: Type.String(),
  request_id: Type.String()
})

const Jwks = Type.Object({
  keys: Type.Array(
    Type.Object({
      kty: Type.String(),
      n: Type.String(),
      e: Type.String(),
      kid: Type.String(),
      use: oneOf(['sig']),
      alg: oneOf(['RS256'])
    })
  )
})

export interface OAuthClient {
  id: string
  secret: string
}

export function tokenRoutes(tokens: Tokens, keys: SigningKeys, client: OAuthClient): Route[] {
  return [
    route({
      method: 'post',
      path: '/oauth2/token',
      summary: 'Log in (grant password) or renew (grant refresh_token)',
      needs: 'public',
      form: true,
      bare: true,
      body: TokenRequest,
      reply: TokenReply,
      handle: async ({ body, request }) => {
        checkClient(body, client)
        return toReply(await grant(tokens, body, { address: request.address, requestId: request.id }), request.id)
      }
    }),
    route({
      method: 'get',
      path: '/oauth2/jwks',
      summary: 'The public keys of access tokens (RFC 7517)',
      needs: 'public',
      bare: true,
      reply: Jwks,
      handle: async () => ({ keys: keys.jwks })
    })
  ]
}

async function grant(tokens: Tokens, body: TokenRequest, asker: Asker): Promise<Issued> {
  switch (body.grant_type) {
    case 'password': {
      const { address } = asker
      return tokens.logIn({ username: needed(body, 'username'), password: needed(body, 'password'), address })
    }
    case 'refresh_token':
      return tokens.refresh(needed(body, 'refresh_token'), asker)
    case undefined:
      throw refused('invalid_request: grant_type is required')
    default:
      throw refused('unsupported_grant_type: grant_type must be password or refresh_token')
  }
}

function needed(body: TokenRequest, field: 'username' | 'password' | 'refresh_token'): string {
  const value = body[field]
  if (!value) throw refused(`invalid_request: ${field} is required`)
  return value
}

function checkClient(body: TokenRequest, client: OAuthClient): void {
  const isId = isSame(body.client_id ?? '', client.id)
  const isSecret = isSame(body.client_secret ?? '', client.secret)
  if (!isId || !isSecret) throw refused('invalid_client: client_id or client_secret is wrong')
}

/** Hashed first, so that neither length nor content shows in the time. */
function isSame(given: string, expected: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(given), hash(expected))
}

/** Every refusal of this endpoint is 401 authentication_failed, as in the real system. */
function refused(message: string): AppError {
  return new AppError('bad_credentials', message)
}

/** RFC 6749 wants the fields at the top, Beaver's clients read them under `data`. */
function toReply(issued: Issued, requestId: string) {
  const fields = {
    access_token: issued.accessToken,
    refresh_token: issued.refreshToken,
    token_type: 'Bearer',
    expires_in: issued.expiresIn
  }
  return raw({
    status: 200,
    headers: { 'cache-control': 'no-store', pragma: 'no-cache' },
    body: { ...fields, data: fields, status: 'Success', request_id: requestId }
  })
}

import { AppError, oneOf, Type } from '@fleetgate/contracts'
import { type RequestInfo, type Route, route } from '@fleetgate/kit'
import type { Door } from './door.js'
import { isSame } from './sharedSecret.js'

export const secretHeader = 'x-fleetgate-secret'

/** EMQX leaves out, or sends null for, what a client has not given. */
const Text = Type.Optional(Type.Union([Type.String({ maxLength: 65_535 }), Type.Null()]))
const LogIn = Type.Object({ clientid: Text, username: Text, password: Text, peerhost: Text })
const Use = Type.Object({ clientid: Text, username: Text, action: Text, topic: Text })
const Result = oneOf(['allow', 'deny'])
const LogInReply = Type.Object({
  result: Result,
  is_superuser: Type.Optional(Type.Boolean()),
  client_attrs: Type.Optional(Type.Object({ tenant: Type.String() })),
  acl: Type.Optional(
    Type.Array(
      Type.Object({
        permission: oneOf(['allow']),
        action: oneOf(['publish', 'subscribe']),
        topic: Type.String()
      })
    )
  )
})

/**
 * HTTP authenticator and authorizer of EMQX 5. Whatever is not 200 counts as "ignore" there, so a refusal is always
 * 200 with `deny`; only a stranger without the secret gets an error.
 */
export function emqxHookRoutes(door: Door, secret: string): Route[] {
  function checkSecret({ headers }: RequestInfo): void {
    const given = headers[secretHeader]
    if (!isSame(typeof given === 'string' ? given : '', secret)) {
      throw new AppError('unauthenticated', `the header ${secretHeader} is missing or wrong`)
    }
  }

  return [
    route({
      method: 'post',
      path: '/internal/emqx/authenticate',
      summary: 'Asked by EMQX for each CONNECT',
      needs: 'public',
      bare: true,
      body: LogIn,
      reply: LogInReply,
      handle: async ({ body, request }) => {
        checkSecret(request)
        const { clientid, username, password, peerhost } = body
        return door.logIn({
          clientid: clientid ?? '',
          username: username ?? '',
          password: password ?? '',
          peerhost: peerhost ?? ''
        })
      }
    }),
    route({
      method: 'post',
      path: '/internal/emqx/authorize',
      summary: 'Asked by EMQX for each topic that it does not remember',
      needs: 'public',
      bare: true,
      body: Use,
      reply: Type.Object({ result: Result }),
      handle: async ({ body, request }) => {
        checkSecret(request)
        const { clientid, username, action, topic } = body
        const question = {
          clientid: clientid ?? '',
          username: username ?? '',
          action: action ?? '',
          topic: topic ?? ''
        }
        return { result: door.mayUse(question) ? ('allow' as const) : ('deny' as const) }
      }
    })
  ]
}

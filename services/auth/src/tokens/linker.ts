import { type Route, route, type Static, Type } from '@fleetgate/kit'
import type { Issued, Tokens } from './tokens.js'

const LoginReply = Type.Object({
  id: Type.String(),
  token: Type.String(),
  userId: Type.String(),
  user_id: Type.String(),
  username: Type.String(),
  tenant_id: Type.String(),
  expires_in: Type.Integer()
})

export function loginRoutes(tokens: Tokens): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/user/login',
      summary: 'Log in; the token goes into X-Auth-Token',
      needs: 'public',
      body: Type.Object({ username: Type.String({ maxLength: 320 }), password: Type.String({ maxLength: 1024 }) }),
      reply: LoginReply,
      handle: async ({ body, request }) =>
        toReply(await tokens.logIn({ username: body.username, password: body.password, address: request.address }))
    })
  ]
}

/** Linker's own source names `Id` (the token) and `UserId`; how it spells them in JSON is not known, so all are sent. */
function toReply({ user, accessToken, expiresIn }: Issued): Static<typeof LoginReply> {
  return {
    id: accessToken,
    token: accessToken,
    userId: user.id,
    user_id: user.id,
    username: user.email,
    tenant_id: user.tenantId,
    expires_in: expiresIn
  }
}

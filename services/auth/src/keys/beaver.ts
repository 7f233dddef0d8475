import { type Route, route, Type } from '@fleetgate/kit'
import type { SigningKeys } from './signingKeys.js'

export function keyRoutes(keys: SigningKeys): Route[] {
  return [
    route({
      method: 'post',
      path: '/oauth2/keys/rotate',
      summary: 'Sign with a new key from `active_at` on; tokens of the old one stay good until they expire',
      needs: 'signedIn',
      reply: Type.Object({ kid: Type.String(), active_at: Type.String() }),
      handle: async ({ caller }) => {
        const { kid, activeAt } = await keys.rotate(caller)
        return { kid, active_at: String(activeAt) }
      }
    })
  ]
}

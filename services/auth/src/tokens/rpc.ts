import {
  type Bus,
  listPublicKeys,
  type Subscription,
  verifyBasic,
  verifyServiceToken,
  verifySignature
} from '@fleetgate/kit'
import type { AccessKeys } from '../accessKeys/accessKeys.js'
import type { SigningKeys } from '../keys/signingKeys.js'
import type { ServiceTokens } from '../serviceTokens/serviceTokens.js'
import { toCallerData } from '../users/user.js'
import type { Login } from './login.js'

export interface Identity {
  login: Login
  keys: SigningKeys
  serviceTokens: ServiceTokens
  accessKeys: AccessKeys
}

/** Answers what the other processes ask about tokens and passwords. */
export function serveIdentity(bus: Bus, { login, keys, serviceTokens, accessKeys }: Identity): Promise<Subscription[]> {
  return Promise.all([
    bus.serve(verifyBasic, async (credentials) => toCallerData(await login(credentials))),
    bus.serve(verifyServiceToken, ({ token }) => serviceTokens.verify(token)),
    bus.serve(verifySignature, accessKeys.verify),
    bus.serve(listPublicKeys, async () => {
      // Who asks may have met a key that another replica has just made.
      await keys.reload()
      return { keys: keys.publicKeys }
    })
  ])
}

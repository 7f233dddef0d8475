import type { Caller } from '@fleetgate/kit'
import type { Credentials } from '../credentials/credential.js'
import { parse } from './design.js'
import { credentialPrefix } from './nodes/external.js'

interface AnyNode {
  componentName?: unknown
  data?: { parameters?: Record<string, unknown> }
}

export interface SecretKeeper {
  /** The design without the secrets that people wrote into it: the credentials keep them, and the design names those. */
  moveOut(design: string, caller: Caller): Promise<string>
}

/** Takes a design whose structure was checked. */
export function createSecretKeeper(credentials: Pick<Credentials, 'keep'>): SecretKeeper {
  return {
    async moveOut(text, caller) {
      const design = parse(text) as { nodes: AnyNode[] }
      let hasMoved = false
      for (const { componentName, data } of design.nodes) {
        const parameters = data?.parameters ?? {}
        const { secretKey } = parameters
        if (componentName === 'webhook' && typeof secretKey === 'string' && isPlain(secretKey)) {
          parameters.secretKey = `${credentialPrefix}${await credentials.keep(secretKey, caller)}`
          hasMoved = true
        }
        hasMoved = (componentName === 'email' && dropPassword(parameters)) || hasMoved
      }
      return hasMoved ? JSON.stringify(design) : text
    }
  }
}

function isPlain(secret: string): boolean {
  return secret !== '' && !secret.startsWith(credentialPrefix)
}

/** Mail goes out over the product's own server: a password in the node is of no use. */
function dropPassword(parameters: Record<string, unknown>): boolean {
  const { smtpConfig } = (parameters.emailConfig ?? {}) as { smtpConfig?: Record<string, unknown> }
  if (!smtpConfig?.password) return false
  smtpConfig.password = ''
  return true
}

import type { Credentials, Keeper } from '../credentials/credential.js'
import { parse } from './design.js'
import { credentialPrefix } from './nodes/external.js'

interface AnyNode {
  componentName?: unknown
  data?: { parameters?: Record<string, unknown> }
}

export interface SecretKeeper {
  /** The design without the secrets that people wrote into it: the credentials keep them, and the design names those. */
  moveOut(design: string, keeper: Keeper): Promise<string>
  /** Of a workflow that is gone, or never came to be. */
  forget(tenantId: string, workflowId: string): Promise<void>
}

/** Takes a design whose structure was checked. */
export function createSecretKeeper(credentials: Pick<Credentials, 'keep' | 'keepCopy' | 'removeKept'>): SecretKeeper {
  async function kept(secret: string, keeper: Keeper): Promise<string> {
    if (!secret.startsWith(credentialPrefix)) return credentialPrefix + (await credentials.keep(secret, keeper))
    return credentialPrefix + (await credentials.keepCopy(secret.slice(credentialPrefix.length), keeper))
  }

  return {
    async moveOut(text, keeper) {
      const design = parse(text) as { nodes: AnyNode[] }
      let hasMoved = false
      for (const { componentName, data } of design.nodes) {
        const parameters = data?.parameters ?? {}
        const { secretKey } = parameters
        if (componentName === 'webhook' && typeof secretKey === 'string' && secretKey !== '') {
          parameters.secretKey = await kept(secretKey, keeper)
          hasMoved = parameters.secretKey !== secretKey || hasMoved
        }
        hasMoved = (componentName === 'email' && dropPassword(parameters)) || hasMoved
      }
      return hasMoved ? JSON.stringify(design) : text
    },
    forget: credentials.removeKept
  }
}

/** Mail goes out over the product's own server: a password in the node is of no use. */
function dropPassword(parameters: Record<string, unknown>): boolean {
  const { smtpConfig } = (parameters.emailConfig ?? {}) as { smtpConfig?: Record<string, unknown> }
  if (!smtpConfig?.password) return false
  smtpConfig.password = ''
  return true
}

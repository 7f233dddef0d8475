import { parse as parseForm } from 'node:querystring'
import { AppError, methods, type RequestInfo, type Route, readText, recordOf, route, Type } from '@fleetgate/kit'
import type { Credentials } from '../credentials/credential.js'
import type { Events } from './events.js'
import { defaultCredential, httpPath } from './nodes/entries.js'
import type { Outcome } from './nodeType.js'

const Place = Type.Object({
  /** `<credential>@<tenant>`: an id, or the access key of the default credential. */
  account: Type.String({ pattern: '^([0-9]{1,19}|http)@[A-Za-z0-9_-]{1,64}$' }),
  path: Type.String({ maxLength: 256 })
})
const Query = recordOf(Type.Unknown())

/** Requests from outside start workflows: no token, but the user name and secret of a credential over HTTP Basic. */
export function httpInRoutes(events: Events, credentials: Pick<Credentials, 'verify'>): Route[] {
  return methods.map((method) =>
    route({
      method,
      path: '/workflow-http-in/:account/*path',
      summary: 'Start the workflow that waits for this request; answers what its output nodes say',
      needs: 'public',
      params: Place,
      query: Query,
      reply: recordOf(Type.Unknown()),
      handle: async ({ params, query, request }) => {
        const [name = '', tenantId = ''] = params.account.split('@')
        const credential = await credentials.verify(tenantId, name, basicOf(request))
        if (!credential) {
          throw new AppError('bad_credentials', 'the credential of this address wants its user name and secret')
        }
        const path = httpPath(params.path)
        const input = { url: path, method: method.toUpperCase(), ...(await contentOf(request, query)) }
        const credentialIds = [credential.id, ...(credential.isDefault ? [defaultCredential] : [])]
        return events.onRequest({ tenantId, credentialIds, method: method.toUpperCase(), path }, input)
      }
    })
  )
}

/**
 * As the real system gives them to the nodes behind: `header` and `params` as JSON text, `body` as the text that came, not
 * there where none did. What a form sends is among the parameters too.
 */
async function contentOf(request: RequestInfo, query: Record<string, unknown>): Promise<Outcome> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type.startsWith('multipart/')) {
    throw new AppError('malformed_body', 'multipart/form-data is not taken', { field: 'body' })
  }
  const body = await readText(request.stream)
  const form = type === 'application/x-www-form-urlencoded' ? parseForm(body) : {}
  return {
    header: JSON.stringify(shownHeaders(request)),
    params: JSON.stringify({ ...query, ...form }),
    ...(body === '' ? {} : { body })
  }
}

function basicOf({ headers }: RequestInfo): { username: string; password: string } {
  const [scheme = '', encoded = ''] = (headers.authorization ?? '').split(' ')
  const text = scheme.toLowerCase() === 'basic' ? Buffer.from(encoded, 'base64').toString('utf8') : ''
  const colon = text.indexOf(':')
  return colon < 0
    ? { username: '', password: '' }
    : { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** Runs are logged with their input: what proves who asks is not in it. */
function shownHeaders({ headers }: RequestInfo): Record<string, string> {
  const shown = Object.entries(headers).filter(([name]) => !['authorization', 'cookie', 'x-auth-token'].includes(name))
  return Object.fromEntries(shown.map(([name, value]) => [name, [value ?? ''].flat().join(', ')]))
}

import { AppError, type Static, Type } from '@fleetgate/contracts'
import type { Caller } from '@fleetgate/kit'

/** The one instance of a project; the project is the caller's tenant. */
export const instanceId = 'default'

export const dmsProject = { project: Type.String() }
export const dmsPlace = { ...dmsProject, instance: Type.String() }

/** Ids of ours and of DMS (UUIDs, with hyphens or without). */
const idForm = /^[A-Za-z0-9_-]{1,64}$/

const OfProject = Type.Object(dmsProject)
const OfInstance = Type.Object(dmsPlace)

export function projectOf({ project }: Static<typeof OfProject>, caller: Caller): string {
  if (!idForm.test(project)) throw badId('project', 'DMS.00400002')
  if (project !== caller.tenantId) {
    throw new AppError('unauthenticated', 'the token does not belong to this project', {
      wireStatus: 401,
      wireCode: 'DMS.10240104'
    })
  }
  return caller.tenantId
}

/** The tenant of a path that names project and instance. */
export function tenantOf(place: Static<typeof OfInstance>, caller: Caller): string {
  const tenantId = projectOf(place, caller)
  if (!idForm.test(place.instance)) throw badId('instance', 'DMS.00400030')
  if (place.instance !== instanceId) {
    throw new AppError('not_found', 'the instance does not exist', { wireStatus: 404, wireCode: 'DMS.00404022' })
  }
  return tenantId
}

function badId(field: 'project' | 'instance', wireCode: string): AppError {
  return new AppError('invalid_input', `${field} is no id: 1 to 64 letters, digits, - and _`, { field, wireCode })
}

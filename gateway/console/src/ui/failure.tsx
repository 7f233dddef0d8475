import type { ApiError } from '../api.js'

export function Failure({ error }: { error: ApiError | undefined }) {
  if (!error) return null
  return (
    <p class="failure" role="alert">
      {error.status === 403 ? `not allowed: ${error.message}` : error.message}
    </p>
  )
}

//! Calls about images.

use crate::config::{AuthConfig, ImageSpec, PodSandboxConfig};
use crate::error::{Call, CriError};
use crate::proto::runtime as pb;
use crate::values::Image;
use crate::values::stats::ImageFsInfo;
use crate::wire;

use super::{Client, Reply, answer, bad_reply, within};

impl Client {
    /// `ListImages`: all images on the node.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn list_images(&self) -> Result<Vec<Image>, CriError> {
        let mut images = self.images.clone();
        let call = Call::new("ListImages", "");
        let request = pb::ListImagesRequest::default();
        let reply = self
            .image_query(call.clone(), images.list_images(request))
            .await?;
        wire::all(reply.images).map_err(bad_reply(call))
    }

    /// `ImageStatus`: one image, by any of its names; `None` if it is not on the node.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn image_status(&self, image: ImageSpec) -> Result<Option<Image>, CriError> {
        let call = Call::new("ImageStatus", image.image.as_str());
        let request = pb::ImageStatusRequest {
            image: Some(image),
            verbose: false,
        };
        let mut images = self.images.clone();
        let reply = self.image_query(call.clone(), images.image_status(request));
        match reply.await {
            Ok(reply) => {
                let image = reply.image.map(Image::try_from).transpose();
                image.map_err(bad_reply(call))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `PullImage`: brings an image onto the node and returns a reference to it that later calls
    /// take.
    ///
    /// It has no deadline, for the runtime gives up by itself when nothing arrives any more.
    /// Dropping the future cancels the pull; what was downloaded is kept for the next one.
    ///
    /// # Errors
    /// See [`CriError`]; what the registry refuses is an `ImagePull`.
    pub async fn pull_image(
        &self,
        image: ImageSpec,
        auth: Option<AuthConfig>,
        sandbox: Option<PodSandboxConfig>,
    ) -> Result<String, CriError> {
        let call = Call::new("PullImage", image.image.as_str());
        let request = pb::PullImageRequest {
            image: Some(image),
            auth,
            sandbox_config: sandbox,
        };
        let mut images = self.images.clone();
        match answer(None, images.pull_image(request)).await {
            Ok(reply) => Ok(reply.into_inner().image_ref),
            Err(status) => {
                let socket = self.image_socket.to_path_buf();
                Err(CriError::from_pull_status(call, socket, &status))
            }
        }
    }

    /// `RemoveImage`: removes an image by any of its names. Idempotent.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn remove_image(&self, image: ImageSpec) -> Result<(), CriError> {
        let call = Call::new("RemoveImage", image.image.as_str());
        let request = pb::RemoveImageRequest { image: Some(image) };
        let mut images = self.images.clone();
        let limit = Some(self.deadlines.change);
        let reply = images.remove_image(request);
        within(limit, call, &self.image_socket, reply).await?;
        Ok(())
    }

    /// `ImageFsInfo`: how full the file systems for images and containers are.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError> {
        let mut images = self.images.clone();
        let call = Call::new("ImageFsInfo", "");
        let request = pb::ImageFsInfoRequest {};
        let reply = self
            .image_query(call, images.image_fs_info(request))
            .await?;
        Ok(reply.into())
    }

    async fn image_query<T>(&self, call: Call, reply: impl Reply<T>) -> Result<T, CriError> {
        within(Some(self.deadlines.query), call, &self.image_socket, reply).await
    }
}

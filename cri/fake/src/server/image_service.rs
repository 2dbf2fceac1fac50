//! The image service.

use keelson_cri::proto::runtime as pb;
use keelson_cri::proto::runtime::image_service_server::ImageService;
use tonic::{Code, Request, Response, Status, async_trait};

use crate::images::PullError;
use crate::wire;

use super::Service;

fn name(image: Option<pb::ImageSpec>) -> String {
    image.unwrap_or_default().image
}

fn pull_status(error: &PullError) -> Status {
    let code = match error {
        PullError::NotFound(_) => Code::NotFound,
        PullError::Unauthorized(_) => Code::Unknown,
    };
    Status::new(code, error.to_string())
}

#[async_trait]
impl ImageService for Service {
    async fn list_images(
        &self,
        _: Request<pb::ListImagesRequest>,
    ) -> Result<Response<pb::ListImagesResponse>, Status> {
        self.call("ListImages", |runtime, _| {
            let images = runtime.images.list().into_iter();
            Ok(pb::ListImagesResponse {
                images: images.map(wire::image).collect(),
            })
        })
        .await
    }

    async fn image_status(
        &self,
        request: Request<pb::ImageStatusRequest>,
    ) -> Result<Response<pb::ImageStatusResponse>, Status> {
        let name = name(request.into_inner().image);
        self.call("ImageStatus", |runtime, _| {
            let image = runtime.images.status(&name).cloned();
            Ok(pb::ImageStatusResponse {
                image: image.map(wire::image),
                ..Default::default()
            })
        })
        .await
    }

    async fn pull_image(
        &self,
        request: Request<pb::PullImageRequest>,
    ) -> Result<Response<pb::PullImageResponse>, Status> {
        let request = request.into_inner();
        let name = name(request.image);
        let fault = self.before("PullImage").await?;
        let takes = self
            .0
            .act(|runtime, _| runtime.images.begin_pull(&name, request.auth.as_ref()));
        tokio::time::sleep(takes.map_err(|error| pull_status(&error))?).await;
        let pulled = self.0.act(|runtime, _| runtime.images.finish_pull(&name));
        self.after(fault).await;
        let image_ref = pulled.map_err(|error| pull_status(&error))?;
        Ok(Response::new(pb::PullImageResponse { image_ref }))
    }

    async fn remove_image(
        &self,
        request: Request<pb::RemoveImageRequest>,
    ) -> Result<Response<pb::RemoveImageResponse>, Status> {
        let name = name(request.into_inner().image);
        self.call("RemoveImage", |runtime, _| {
            runtime.images.remove(&name);
            Ok(pb::RemoveImageResponse {})
        })
        .await
    }

    async fn image_fs_info(
        &self,
        _: Request<pb::ImageFsInfoRequest>,
    ) -> Result<Response<pb::ImageFsInfoResponse>, Status> {
        self.call("ImageFsInfo", |runtime, now| {
            let used = runtime.images.list().iter().map(|image| image.size).sum();
            let usage = pb::FilesystemUsage {
                timestamp: i64::try_from(now.as_nanosecond()).unwrap_or(0),
                fs_id: Some(pb::FilesystemIdentifier {
                    mountpoint: "/".to_owned(),
                }),
                used_bytes: Some(pb::UInt64Value { value: used }),
                inodes_used: None,
            };
            Ok(pb::ImageFsInfoResponse {
                image_filesystems: vec![usage.clone()],
                container_filesystems: vec![usage],
            })
        })
        .await
    }
}
